"""What ONNX Runtime's CPU kernels take, and which numbers an ONNX attribute holds: when a native op may be written.

The table is the list that ONNX Runtime 1.32 registers (`private.kernel_types`), less what fails when it is run: LSTM
and GRU are registered for double and refuse it. A test compares it with the installed version. An op that is missing
here takes every type that its opset declares. float16 runs wherever float32 does, through casts that ONNX Runtime
inserts. bfloat16 is written wherever ONNX declares it; ONNX Runtime has few kernels for it, see `narrow_run`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx

from kxchange.graph import Node
from kxchange.table import Condition
from kxchange.types import DType
from kxchange_onnx.opsets import target

_FLOAT = "float32"
_BOTH = "float32 float64"
_WIDE = "float32 float64 int32 int64"

KERNELS: dict[str, str] = {
    **dict.fromkeys(
        [
            *["Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Sinh", "Tan", "Erf"],
            *["Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Selu", "Softplus", "Softsign", "Elu"],
            *["Celu", "ThresholdedRelu"],
            *["Conv", "ConvTranspose", "AveragePool", "GlobalAveragePool", "LpPool", "InstanceNormalization", "LRN"],
            *["GroupNormalization", "Attention", "RotaryEmbedding", "LSTM", "GRU", "RNN", "Det"],
        ],
        _FLOAT,
    ),
    **dict.fromkeys(
        [
            "Ceil",
            "Cos",
            "Exp",
            "Floor",
            "Gemm",
            "Log",
            "LogSoftmax",
            "Reciprocal",
            "Round",
            "Sigmoid",
            "Sin",
            "Softmax",
        ],
        _BOTH,
    ),
    **dict.fromkeys(["CumSum", "ReduceSum", "ReduceProd", "ReduceMean", "Pow"], _WIDE),
    "CumProd": f"{_WIDE} uint32 uint64",
    "MatMul": f"{_WIDE} uint32 uint64",
    "ReduceMax": f"{_WIDE} int8 uint8",
    "ReduceMin": f"{_WIDE} int8 uint8",
    "ArgMax": f"{_WIDE} int8 uint8",
    "ArgMin": f"{_WIDE} int8 uint8",
    "TopK": f"{_WIDE} int16 int8 uint8",
    "Max": f"{_WIDE} int8 uint8 uint32 uint64",
    "Min": f"{_WIDE} int8 uint8 uint32 uint64",
    "Clip": f"{_WIDE} int8 uint8 uint32 uint64",
    "Where": f"{_WIDE} int8 uint8 uint32",
    "Pad": f"{_WIDE} bool int8 uint8 uint32 uint64",
    "Neg": f"{_WIDE} int8 int16",
    "Relu": f"{_BOTH} int32 int8",
    "Range": f"{_WIDE} int16",
    "NonZero": "float32 int32 int64 uint8 bool",
    "MaxPool": f"{_BOTH} int8 uint8",
    "Resize": "float32 int32 int8 uint8",
    "DepthToSpace": f"{_BOTH} uint8",
    "SpaceToDepth": _BOTH,
    "Trilu": f"{_WIDE} bool",
}
_TYPES = {op_type: frozenset(map(DType, names.split())) for op_type, names in KERNELS.items()}


@cache
def _declared(op_type: str, opset: int) -> frozenset[str]:
    """The tensor types that the opset declares for the data of an op; none where it has no such op."""
    try:
        schema = onnx.defs.get_schema(op_type, opset)
    except onnx.defs.SchemaError:
        return frozenset()
    wanted = schema.inputs[1 if op_type == "Where" else 0].type_str
    declared = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
    return frozenset(declared.get(wanted, (wanted,)))


def has_kernel(op_type: str, dtype: DType) -> bool:
    """Whether the opset being written has the op for this element type, and ONNX Runtime a kernel."""
    name = {DType.FLOAT32: "float", DType.FLOAT64: "double"}.get(dtype, dtype.value.replace("_", ""))
    if f"tensor({name})" not in _declared(op_type, target()):
        return False
    taken = _TYPES.get(op_type)
    if taken is None or dtype in taken:
        return True
    return dtype in (DType.FLOAT16, DType.BFLOAT16) and DType.FLOAT32 in taken


def takes(op_type: str, *exact: str, version: int = 0) -> Condition:
    """The condition that `op_type` may stand for the node.

    Args:
        op_type: The native op.
        *exact: Attributes that become float attributes of the op. ONNX stores those as float32: a float64 model whose
            number would change does without the op.
        version: The opset that has the op in this form, where an older one has it in another.
    """

    def condition(node: Node) -> bool:
        first = next((value for value in node.inputs if value is not None), None)
        if first is None or target() < version or not has_kernel(op_type, first.dtype):
            return False
        return first.dtype is not DType.FLOAT64 or all(is_float32(node.attrs[name]) for name in exact)

    return condition


def is_float32(number: float | None) -> bool:
    """Whether a float32 attribute holds the number exactly."""
    return number is None or float(np.float32(number)) == float(number)
