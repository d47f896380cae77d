"""Canonical JSON: one value has one spelling, and only values that survive every JSON reader exist.

The text is UTF-8 in normal form C with sorted keys, `,` and `:` as separators and the shortest escapes. Numbers are
integers within plus or minus 2^53; there are no floats, see `kxchange.format.scalars` for those.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, cast

import numpy as np

from kxchange.errors import FormatError, LimitError
from kxchange.format.limits import MAX_DOCUMENT_DEPTH, MAX_JSON_INTEGER, MAX_STRUCTURAL_BYTES, check_limit

JsonValue = bool | int | str | None | Sequence["JsonValue"] | Mapping[str, "JsonValue"]

_DIGITS_AS_ZERO = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else ord(" ") for byte in range(256))
_LONG_NUMBER = b"0" * 16
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b'"[]{}'))
_SHOWN = 80


def encode(value: JsonValue, *, what: str = "document", structural_limit: int = MAX_STRUCTURAL_BYTES) -> bytes:
    """The canonical text of a value.

    Args:
        value: Nested dicts with string keys, lists or tuples, strings, integers, booleans and `None`.
        what: How messages call the document.
        structural_limit: Most `[`, `{` and `,` bytes; `decode` refuses more.

    Returns:
        UTF-8 bytes, the same for equal values.

    Raises:
        FormatError: A float, another type, or a string that is not NFC or holds a lone surrogate.
        LimitError: An integer beyond plus or minus 2^53, nesting beyond 64, or too many structural bytes.
    """
    _check_value(value, what)
    data = _spell(value)
    _check_structure(data, what, structural_limit)
    return data


def decode(
    data: bytes,
    *,
    what: str = "document",
    canonical: bool = True,
    structural_limit: int = MAX_STRUCTURAL_BYTES,
) -> Any:
    """Read JSON, refusing whatever two readers could understand in two ways.

    Args:
        data: The whole text.
        what: How messages call the document.
        canonical: Also require that `data` is the canonical spelling. Without it other spacing, key order, escapes
            and strings that are not NFC are allowed.
        structural_limit: Most `[`, `{` and `,` bytes, counted before anything is built.

    Returns:
        Nested dicts, lists, strings, integers, booleans and `None`.

    Raises:
        FormatError: Not UTF-8, not JSON, a duplicate key, a float, NaN, `-0`, a lone surrogate, or not canonical.
        LimitError: Too many structural bytes, nesting beyond 64, an integer beyond plus or minus 2^53.
    """
    _check_structure(data, what, structural_limit)
    check_limit(_depth(data), MAX_DOCUMENT_DEPTH, f"{what}: JSON nesting")
    text = _text(data, what)
    value = _parse(text, data, what)
    if canonical:
        check_canonical(value, data, what=what)
    elif b"\\u" in data:
        _spell_decoded(value, what)
    return value


def check_canonical(value: Any, data: bytes, *, what: str) -> None:
    """Require that a text is the canonical one of the value it was decoded to.

    Args:
        value: What `decode` returned, unchanged.
        data: The text it was decoded from.
        what: How messages call the document.

    Raises:
        FormatError: Other spacing, key order or escapes, or a string that is not NFC.
    """
    _check_normalized(value, data, what)
    spelled = _spell_decoded(value, what)
    if spelled != data:
        place = _fork(spelled, data)
        raise FormatError(f"{what} is not canonical JSON (spacing, key order or escapes) at byte {place:,}.")


def _check_structure(data: bytes, what: str, limit: int) -> None:
    count = data.count(b"[") + data.count(b"{") + data.count(b",")
    check_limit(count, limit, f"{what}: count of '[', '{{' and ','")


def _depth(data: bytes) -> int:
    """Deepest nesting of brackets outside strings, without parsing."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(data.translate(None, _ALL_BUT_BRACKETS).split(b'"')[::2])
    brackets = np.frombuffer(outside, np.uint8)
    opening = (brackets == ord("[")) | (brackets == ord("{"))
    steps = np.where(opening, np.int8(1), np.int8(-1))
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))


def _text(data: bytes, what: str) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{what} is not UTF-8: {error.reason} at byte {error.start}.") from None
    if text.startswith("\ufeff"):
        raise FormatError(f"{what} starts with a byte order mark.")
    return text


def _parse(text: str, data: bytes, what: str) -> Any:
    def refuse_number(literal: str) -> NoReturn:
        raise FormatError(f"{what} holds the number {_shown(literal)}; only integers are allowed.")

    def read_integer(literal: str) -> int:
        if literal == "-0":
            raise FormatError(f"{what} holds the number -0; only integers are allowed.")
        if len(literal) > 17 or abs(int(literal)) > MAX_JSON_INTEGER:
            raise LimitError(f"{what} holds the integer {_shown(literal)}, beyond plus or minus 2^53.")
        return int(literal)

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise FormatError(f"{what} holds the key {_duplicate(pairs)} twice in one object.")
        return members

    # A Python call for each integer would double the time to parse; without long digit runs none is needed.
    needs_check = b"-0" in data or _LONG_NUMBER in data.translate(_DIGITS_AS_ZERO)
    try:
        return json.loads(
            text,
            object_pairs_hook=read_object,
            parse_float=refuse_number,
            parse_constant=refuse_number,
            parse_int=read_integer if needs_check else int,
        )
    except json.JSONDecodeError as error:
        raise FormatError(f"{what} is not JSON: {error.msg} at character {error.pos:,}.") from None
    except RecursionError:
        raise LimitError(f"{what}: JSON nesting is above the limit of {MAX_DOCUMENT_DEPTH}.") from None


def _duplicate(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return _shown(key)
        seen.add(key)
    return "?"


def _check_normalized(value: Any, data: bytes, what: str) -> None:
    # Parts of normalized text are normalized, so the strings need a look only where the whole text is not.
    if data.isascii() or unicodedata.is_normalized("NFC", data.decode("utf-8")):
        return
    for string in _strings(value):
        if not unicodedata.is_normalized("NFC", string):
            raise FormatError(f"{what} holds the string {_shown(string)}, which is not in Unicode normal form C.")


def _spell_decoded(value: Any, what: str) -> bytes:
    try:
        return _spell(value)
    except UnicodeEncodeError as error:
        raise FormatError(f"{what} holds a string with the lone surrogate {error.object[error.start]!r}.") from None


def _fork(first: bytes, second: bytes) -> int:
    """Index of the first byte that differs."""
    pairs = zip(first, second, strict=False)
    return next((index for index, (x1, x2) in enumerate(pairs) if x1 != x2), min(len(first), len(second)))


def _spell(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def _levels(value: Any, what: str) -> Iterator[list[Any]]:
    """The values of a tree, one nesting level at a time."""
    level = [value]
    for _ in range(MAX_DOCUMENT_DEPTH + 1):
        yield level
        containers: list[Any] = [item for item in level if isinstance(item, dict | list | tuple)]
        if not containers:
            return
        level = [child for item in containers for child in _children(item)]
    raise LimitError(f"{what}: JSON nesting is above the limit of {MAX_DOCUMENT_DEPTH}.")


def _children(container: Any) -> Iterable[Any]:
    return cast("dict[str, Any]", container).values() if isinstance(container, dict) else container


def _strings(value: Any) -> Iterator[str]:
    for level in _levels(value, "document"):
        for item in level:
            if isinstance(item, str):
                yield item
            elif isinstance(item, dict):
                yield from cast("dict[str, Any]", item)


def _check_value(value: Any, what: str) -> None:
    for level in _levels(value, what):
        for item in level:
            if isinstance(item, str):
                _check_string(item, what)
            elif isinstance(item, dict):
                for key in cast("dict[Any, Any]", item):
                    _check_string(key, what)
            elif item is not None and not isinstance(item, list | tuple):
                _check_integer(item, what)


def _check_string(value: object, what: str) -> None:
    if not isinstance(value, str):
        raise FormatError(f"{what} cannot hold the key {value!r} of type {type(value).__name__}; keys are strings.")
    if value.isascii():
        return
    if not unicodedata.is_normalized("NFC", value):
        raise FormatError(f"{what} cannot hold the string {_shown(value)}: it is not in Unicode normal form C.")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise FormatError(f"{what} cannot hold the string {_shown(value)}: it has a lone surrogate.")


def _check_integer(value: object, what: str) -> None:
    if not isinstance(value, int):
        raise FormatError(
            f"{what} cannot hold {_shown(repr(value))} of type {type(value).__name__}; "
            "encode numbers other than structural integers with encode_scalar."
        )
    if abs(value) > MAX_JSON_INTEGER:
        raise LimitError(
            f"{what} cannot hold an integer of {value.bit_length()} bits, beyond plus or minus 2^53; use encode_scalar."
        )


def _shown(text: str) -> str:
    """An escaped, shortened form: text from a file never reaches a terminal as it is."""
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
