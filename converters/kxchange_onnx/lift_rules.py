"""Imports every file of lifting rules, which fill the table as they are imported."""

from __future__ import annotations

from kxchange_onnx import (  # noqa: F401
    lift_activation,
    lift_attention,
    lift_control,
    lift_convolution,
    lift_elementwise,
    lift_indexing,
    lift_linalg,
    lift_microsoft,
    lift_microsoft_attention,
    lift_microsoft_quantized,
    lift_ml,
    lift_normalization,
    lift_pooling,
    lift_quantization,
    lift_recurrent,
    lift_reduction,
    lift_refused,
    lift_resize,
    lift_sampling,
    lift_selection,
    lift_sequence,
    lift_shape,
    lift_signal,
    lift_slicing,
    lift_svm,
    lift_trees,
    lift_types,
)
