"""Checks that records of the `kx` document have the fields and kinds they must have, and types within the limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from kxchange.dims import MAX_TEXT, Dim, DimExpr
from kxchange.errors import FormatError
from kxchange.format.limits import DIM_BELOW, MAX_RANK, check_limit
from kxchange.format.names import shown
from kxchange.types import TensorType


def fields_of(
    record: Any, required: Mapping[str, type], what: str, optional: Mapping[str, type] | None = None
) -> dict[str, Any]:
    """A record with exactly the fields it must have, each of its kind.

    Args:
        record: Decoded JSON.
        required: Kind by name of the fields that must be there.
        what: Subject of the message, such as `"net.kx: parameter 3"`.
        optional: Kind by name of those that may be there.

    Raises:
        FormatError: Not an object, or a field is missing, unknown or of another kind.
    """
    if not isinstance(record, dict):
        raise FormatError(f"{what} is {shown(record)}, not an object.")
    fields, known = cast("dict[str, Any]", record), {**required, **(optional or {})}
    if missing := required.keys() - fields.keys():
        raise FormatError(f"{what} has no field {shown(min(missing))}.")
    for name, value in fields.items():
        if name not in known:
            raise FormatError(f"{what} has the unknown field {shown(name)}.")
        # `type` and not `isinstance`: true is an int to Python.
        if known[name] is not object and type(value) is not known[name]:
            raise FormatError(f"{what}: the field {shown(name)} is {shown(value)}, not a {known[name].__name__}.")
    return fields


def parse_type(text: Any, what: str) -> TensorType:
    """A tensor type in its one spelling, of possible sizes.

    Raises:
        FormatError: Not a type, spelled otherwise than `str` spells it, or with a negative dim.
        LimitError: Beyond the largest rank or dim.
    """
    if not isinstance(text, str):
        raise FormatError(f"{what}: the type {shown(text)} is not a text.")
    type = TensorType.parse(text)
    check_type(type, what)
    if str(type) != text:
        raise FormatError(f"{what}: the type {shown(text)} is spelled {shown(str(type))}.")
    return type


def check_type(type: TensorType, what: str) -> None:
    """Refuse a type that no file may hold; the writer asks what the reader will.

    Raises:
        FormatError: A negative dim.
        LimitError: Rank, a dim or the text of a symbolic dim is too large.
    """
    check_limit(len(type.shape), MAX_RANK, f"{what}: rank of {shown(str(type))}")
    for dim in type.shape:
        check_dim(dim, what)
        if isinstance(dim, int) and dim < 0:
            raise FormatError(f"{what}: the type {shown(str(type))} has a negative dim.")
        if isinstance(dim, int):
            check_limit(dim, DIM_BELOW - 1, f"{what}: dim of {shown(str(type))}")


def check_dim(dim: Dim, what: str) -> None:
    """Refuse a symbolic dim whose text the reader would refuse.

    Raises:
        LimitError: The text is longer than `MAX_TEXT`.
    """
    if isinstance(dim, DimExpr):
        check_limit(len(str(dim)), MAX_TEXT, f"{what}: characters of the dim {shown(str(dim))}")


def texts(value: Any, what: str) -> list[str]:
    """A list of strings.

    Raises:
        FormatError: It is something else.
    """
    items: Iterable[Any] = cast("list[Any]", value) if isinstance(value, list) else (None,)
    found = list(items)
    if not all(isinstance(item, str) for item in found):
        raise FormatError(f"{what} is not a list of texts.")
    return found
