"""Lifting of TFLite's builtin operators: the table of all of them.

Rules get real numbers: operands that the file stores as integers are dequantized before, results quantized behind,
except for the operators in `STORED`, whose rules handle that themselves.
"""

from __future__ import annotations

from kxchange_tensorflow import tflite_rules_array, tflite_rules_control, tflite_rules_layer, tflite_rules_math
from kxchange_tensorflow.lift import LiftTable

lift = LiftTable("tflite")
for _family in (tflite_rules_array, tflite_rules_control, tflite_rules_layer, tflite_rules_math):
    lift.include(_family.lift)

STORED = frozenset(
    {"FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "QUANTIZE", "DEQUANTIZE", "CAST", "SHAPE"}
    | {"RANK", "IF", "WHILE", "EMBEDDING_LOOKUP", "MAX_POOL_2D", "ARG_MAX", "ARG_MIN"}
)
"""Operators whose rules get tensors as the file stores them."""
