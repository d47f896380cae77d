"""The protocol's element types and ours."""

from __future__ import annotations

from typing import Final

from kxchange.errors import InputError
from kxchange.types import DType

DATATYPES: Final = {
    DType.BOOL: "BOOL",
    DType.UINT8: "UINT8",
    DType.UINT16: "UINT16",
    DType.UINT32: "UINT32",
    DType.UINT64: "UINT64",
    DType.INT8: "INT8",
    DType.INT16: "INT16",
    DType.INT32: "INT32",
    DType.INT64: "INT64",
    DType.FLOAT16: "FP16",
    DType.BFLOAT16: "BF16",
    DType.FLOAT32: "FP32",
    DType.FLOAT64: "FP64",
}
BINARY_ONLY: Final = frozenset({"FP16", "BF16"})
"""Types without a form in JSON."""
PROTOCOL: Final = frozenset({*DATATYPES.values(), "BYTES"})
"""Every name that the protocol knows."""


def datatype(dtype: DType, where: str) -> str:
    """The protocol's name of an element type.

    Raises:
        InputError: The protocol has none.
    """
    if dtype not in DATATYPES:
        raise InputError(
            f"the inference protocol cannot carry {where}: it has no datatype for {dtype.value}. "
            f"Cast it inside the model to one of {', '.join(DATATYPES)}."
        )
    return DATATYPES[dtype]
