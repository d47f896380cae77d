"""Attributes of nodes as JSON, and back.

| attribute | JSON |
|---|---|
| None, bool, int, float, complex, string | `kxchange.format.scalars` |
| tuple | list |
| element type | `{"dtype": "float32"}` |
| symbolic dim | `{"dim": "2*seq+1"}` |
| constant of at most 16 elements | `{"constant": "int64[2]", "values": [...]}` |
| larger constant | `{"constant": "float32[3, 4]", "tensor": "constant.0"}` |
| sub-graph | `{"graph": {...}}` |
| record (evidence, structure) | `{"map": {...}}` |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from kxchange.constant import Constant
from kxchange.dims import Dim, DimExpr, parse_dim
from kxchange.errors import FormatError, KxchangeError
from kxchange.format.limits import MAX_INLINE_ELEMENTS, MAX_LIST_LENGTH, check_limit
from kxchange.format.names import shown
from kxchange.format.records import check_dim, parse_type
from kxchange.format.scalars import decode_scalar, encode_scalar
from kxchange.graph import Graph
from kxchange.model import Array
from kxchange.types import DType, TensorType


class AttributeWriter:
    """Encodes attributes; large constants are collected as tensors.

    Attributes:
        tensors: Arrays of the large constants by tensor name.
    """

    def __init__(self, write_graph: Callable[[Graph], Any], taken: frozenset[str]) -> None:
        self.write_graph = write_graph
        self.taken = taken
        self.tensors: dict[str, Array] = {}
        self._names: dict[Constant, str] = {}

    def encode(self, value: Any) -> Any:
        """One attribute value as JSON."""
        if isinstance(value, DType):
            return {"dtype": value.value}
        if isinstance(value, DimExpr):
            check_dim(value, "Cannot write an attribute")
            return {"dim": str(value)}
        if isinstance(value, (tuple, list)):
            return [self.encode(item) for item in cast("tuple[Any, ...]", value)]
        if isinstance(value, Constant):
            return self._constant(value)
        if isinstance(value, Graph):
            return {"graph": self.write_graph(value)}
        if isinstance(value, Mapping):
            return {"map": {key: self.encode(item) for key, item in cast("Mapping[str, Any]", value).items()}}
        return encode_scalar(value)

    def _constant(self, value: Constant) -> Any:
        if value.array.size <= MAX_INLINE_ELEMENTS:
            values = [encode_scalar(item) for item in value.array.reshape(-1)]
            return {"constant": str(value.type), "values": values}
        if value not in self._names:
            number = len(self._names)
            while f"constant.{number}" in self.taken:
                number += 1
            self._names[value] = f"constant.{number}"
            self.taken |= {f"constant.{number}"}
            self.tensors[self._names[value]] = value.array
        return {"constant": str(value.type), "tensor": self._names[value]}


class AttributeReader:
    """Decodes attributes; large constants are read from the file's tensors."""

    def __init__(
        self, read_graph: Callable[[Any], Graph], read_tensor: Callable[[str, TensorType], Array], source: str
    ) -> None:
        self.read_graph = read_graph
        self.read_tensor = read_tensor
        self.source = source

    def decode(self, value: Any) -> Any:
        """One attribute value from JSON.

        Raises:
            FormatError: not a value that `AttributeWriter.encode` writes.
        """
        if isinstance(value, list):
            items = cast("list[Any]", value)
            check_limit(len(items), MAX_LIST_LENGTH, f"{self.source}: elements of a list attribute")
            return tuple(self.decode(item) for item in items)
        if not isinstance(value, dict):
            return decode_scalar(value)
        record = cast("dict[str, Any]", value)
        try:
            return self._decode_record(record)
        except FormatError:
            raise
        except (KxchangeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(
                f"{self.source}: the attribute {shown(record)} is malformed: {shown(str(error))}."
            ) from None

    def _decode_record(self, record: dict[str, Any]) -> Any:
        match sorted(record):
            case ["dtype"]:
                return DType(record["dtype"])
            case ["dim"]:
                return self._dim(record["dim"])
            case ["graph"]:
                return self.read_graph(record["graph"])
            case ["map"]:
                return {key: self.decode(item) for key, item in record["map"].items()}
            case ["constant", "values"]:
                return self._inline(parse_type(record["constant"], self.source), record["values"])
            case ["constant", "tensor"]:
                type = parse_type(record["constant"], self.source)
                return Constant(self.read_tensor(record["tensor"], type))
            case keys:
                raise FormatError(f"{self.source}: an attribute cannot have the form {shown(keys)}.")

    def _dim(self, text: Any) -> Dim:
        dim = parse_dim(text)
        if str(dim) != text:
            raise FormatError(f"{self.source}: the dim {shown(text)} is spelled {shown(str(dim))}.")
        return dim

    def _inline(self, type: TensorType, values: list[Any]) -> Constant:
        check_limit(len(values), MAX_INLINE_ELEMENTS, f"{self.source}: elements of an inline constant")
        scalars = [decode_scalar(item) for item in values]
        shape = [dim for dim in type.shape if isinstance(dim, int)]
        return Constant(np.array(scalars, dtype=type.dtype.numpy).reshape(shape))
