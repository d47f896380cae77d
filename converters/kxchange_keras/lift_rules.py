"""Every lifting rule: importing this fills the tables."""

from __future__ import annotations

from kxchange_keras import (
    lift_activation,
    lift_attention,
    lift_cells,
    lift_convolution,
    lift_core,
    lift_functions,
    lift_merging,
    lift_normalization,
    lift_operations,
    lift_operations_indexing,
    lift_operations_nn,
    lift_operations_reduction,
    lift_operations_shape,
    lift_pooling,
    lift_preprocessing,
    lift_recurrent,
    lift_reshaping,
    lift_spectrogram,
)

__all__ = [
    "lift_activation",
    "lift_attention",
    "lift_cells",
    "lift_convolution",
    "lift_core",
    "lift_functions",
    "lift_merging",
    "lift_normalization",
    "lift_operations",
    "lift_operations_indexing",
    "lift_operations_nn",
    "lift_operations_reduction",
    "lift_operations_shape",
    "lift_pooling",
    "lift_preprocessing",
    "lift_recurrent",
    "lift_reshaping",
    "lift_spectrogram",
]
