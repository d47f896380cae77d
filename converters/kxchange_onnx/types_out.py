"""Element types and shapes as ONNX writes them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from kxchange.dims import Dim
from kxchange.errors import BuildError
from kxchange.types import DType

_NAMES = {
    DType.FLOAT32: "FLOAT",
    DType.FLOAT64: "DOUBLE",
    DType.FLOAT8_E4M3FN: "FLOAT8E4M3FN",
    DType.FLOAT8_E4M3FNUZ: "FLOAT8E4M3FNUZ",
    DType.FLOAT8_E5M2: "FLOAT8E5M2",
    DType.FLOAT8_E5M2FNUZ: "FLOAT8E5M2FNUZ",
    DType.FLOAT8_E8M0FNU: "FLOAT8E8M0",
    DType.FLOAT4_E2M1FN: "FLOAT4E2M1",
}


def data_type(dtype: DType) -> ir.DataType:
    """The ONNX element type.

    Raises:
        BuildError: This version of onnx_ir has none.
    """
    name = _NAMES.get(dtype, dtype.value.upper())
    try:
        return ir.DataType[name]
    except KeyError:
        raise BuildError(
            f"onnx cannot hold {dtype.value} tensors: onnx_ir has no element type {name}. Upgrade it."
        ) from None


def onnx_shape(shape: Sequence[Dim]) -> ir.Shape:
    """The shape with symbolic sizes as the text of their expression (`dim_param`)."""
    return ir.Shape([dim if isinstance(dim, int) else str(dim) for dim in shape])
