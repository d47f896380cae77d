"""The lifting table of TensorFlow's operators. It is the allow-list: what is not in it is refused by name."""

from __future__ import annotations

from kxchange_tensorflow import (
    lift_activation,
    lift_array,
    lift_control,
    lift_convolution,
    lift_elementwise,
    lift_reduction,
    lift_signal,
)
from kxchange_tensorflow.lift import LiftTable

lift = LiftTable("tensorflow")
FAMILIES = (lift_activation, lift_array, lift_control, lift_convolution, lift_elementwise, lift_reduction, lift_signal)
for _family in FAMILIES:
    lift.include(_family.lift)
