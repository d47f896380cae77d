"""Element types and shapes as ONNX writes them, read into the language's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import onnx

from kxchange.dims import Dim, DimExpr, parse_dim, symbol, symbols
from kxchange.errors import DimError, FormatError
from kxchange.types import DType, TensorType

DTYPES: dict[str, DType] = {
    "FLOAT": DType.FLOAT32,
    "DOUBLE": DType.FLOAT64,
    "FLOAT8E4M3FN": DType.FLOAT8_E4M3FN,
    "FLOAT8E4M3FNUZ": DType.FLOAT8_E4M3FNUZ,
    "FLOAT8E5M2": DType.FLOAT8_E5M2,
    "FLOAT8E5M2FNUZ": DType.FLOAT8_E5M2FNUZ,
    "FLOAT8E8M0": DType.FLOAT8_E8M0FNU,
    "FLOAT4E2M1": DType.FLOAT4_E2M1FN,
}
_KEPT = (
    "BOOL INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 INT4 UINT4 INT2 UINT2 FLOAT16 BFLOAT16 COMPLEX64 COMPLEX128"
)
DTYPES |= {name: DType(name.lower()) for name in _KEPT.split()}


def dtype_of(code: int) -> DType:
    """The element type of an ONNX `DataType` code.

    Raises:
        FormatError: There is none, or it holds no numbers (strings).
    """
    values = onnx.TensorProto.DataType
    if code not in values.values():
        raise FormatError(f"there is no ONNX element type {code}.")
    name = values.Name(code)
    if name not in DTYPES:
        raise FormatError(f"kxchange has no {name.lower()} tensors.")
    return DTYPES[name]


def code_of(dtype: DType) -> int:
    """The ONNX `DataType` code of an element type."""
    name = next(name for name, known in DTYPES.items() if known is dtype)
    return onnx.TensorProto.DataType.Value(name)


class DimReader:
    """The dims of a graph's inputs: names are kept, unnamed sizes get a name that is not taken.

    Attributes:
        taken: Every symbol so far, with the text it stands for.
    """

    def __init__(self, inputs: Iterable[onnx.ValueInfoProto]) -> None:
        self._symbols: dict[str, DimExpr] = {}
        self.taken: set[str] = set()
        for info in inputs:
            for dim in info.type.tensor_type.shape.dim:
                if dim.WhichOneof("value") == "dim_param":
                    self.taken |= symbols(self.named(dim.dim_param))

    def shape(self, name: str, shape: onnx.TensorShapeProto) -> tuple[Dim, ...]:
        """The dims of the input `name`."""
        return tuple(self._dim(name, axis, dim) for axis, dim in enumerate(shape.dim))

    def _dim(self, name: str, axis: int, dim: onnx.TensorShapeProto.Dimension) -> Dim:
        kind = dim.WhichOneof("value")
        if kind == "dim_value" and dim.dim_value >= 0:
            return dim.dim_value
        if kind == "dim_param" and dim.dim_param:
            return self.named(dim.dim_param)
        return symbol(self._free(f"{_identifier(name)}_{axis}"))

    def named(self, text: str) -> Dim:
        """The dim that a `dim_param` stands for: a symbol, or the expression that it spells."""
        try:
            found = parse_dim(text)
        except DimError:
            found = -1
        if isinstance(found, int) and found < 0:  # some exporters say -1 for a size they do not know
            if text not in self._symbols:
                self._symbols[text] = symbol(self._free(_identifier(text)))
            return self._symbols[text]
        return found

    def _free(self, base: str) -> str:
        name, number = base, 1
        while name in self.taken:
            name, number = f"{base}_{number}", number + 1
        self.taken.add(name)
        return name


def _identifier(text: str) -> str:
    """A name that the language of dims has, as like the text as it can be."""
    cleaned = re.sub(r"[^A-Za-z0-9_.]", "_", text)[:48]
    return cleaned if re.match(r"[A-Za-z_]", cleaned) else f"d_{cleaned}"


def tensor_type(info: onnx.ValueInfoProto, dims: DimReader, given: Sequence[Any] | None = None) -> TensorType:
    """The type of a graph input; `given` replaces dims, None entries keep the file's.

    Raises:
        FormatError: It is no tensor, or its rank is not declared.
    """
    kind = info.type.WhichOneof("value")
    if kind != "tensor_type":
        what = (kind or "untyped").removesuffix("_type")
        raise FormatError(f"input {info.name!r} is a {what}; a model of the language takes tensors only.")
    declared = info.type.tensor_type
    dtype = _input_dtype(info)
    if not declared.HasField("shape"):
        if given is None:
            raise FormatError(f"input {info.name!r} declares no rank. Give its dims: dynamic={{{info.name!r}: (...)}}.")
        return TensorType(dtype, tuple(_given_dim(dim) for dim in given))
    shape = dims.shape(info.name, declared.shape)
    if given is None:
        return TensorType(dtype, shape)
    if len(given) != len(shape):
        raise FormatError(f"input {info.name!r} has {len(shape)} axes, and {len(given)} dims were given for it.")
    chosen = (old if new is None else _given_dim(new) for new, old in zip(given, shape, strict=True))
    return TensorType(dtype, tuple(chosen))


def _input_dtype(info: onnx.ValueInfoProto) -> DType:
    try:
        return dtype_of(info.type.tensor_type.elem_type)
    except FormatError as error:
        raise FormatError(f"input {info.name!r}: {error}") from None


def _given_dim(dim: Any) -> Dim:
    return dim if isinstance(dim, int | DimExpr) else parse_dim(str(dim))


def type_proto(type: TensorType) -> onnx.TypeProto:
    """The type as a message, for the functions of the onnx package that choose a body by it."""
    shape = [dim if isinstance(dim, int) else str(dim) for dim in type.shape]
    return onnx.helper.make_tensor_type_proto(code_of(type.dtype), shape)
