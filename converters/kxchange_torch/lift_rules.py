"""Imports every file of lifting rules, which fill the table as they are imported."""

from __future__ import annotations

from kxchange_torch import (  # noqa: F401
    lift_activation,
    lift_attention,
    lift_bags,
    lift_bessel,
    lift_bits,
    lift_complex,
    lift_control,
    lift_convolution,
    lift_copying,
    lift_counting,
    lift_creation,
    lift_elementwise,
    lift_elimination,
    lift_indexing,
    lift_linalg,
    lift_loss,
    lift_manipulation,
    lift_normalization,
    lift_ordering,
    lift_polynomials,
    lift_recurrent,
    lift_reduction,
    lift_sampling,
    lift_sizes,
    lift_slicing,
    lift_solving,
    lift_special,
)
