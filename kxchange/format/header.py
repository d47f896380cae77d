"""The header of a tensor file: eight bytes of length, then JSON that says where every tensor lies.

`strict` is the `.kx` rule: canonical spelling, order and padding, so that a header has one form and any changed byte
shows. Without it any valid safetensors file passes; what two readers could understand in two ways never does.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any, cast

from kxchange.errors import FormatError
from kxchange.format import canonical_json, plain_header
from kxchange.format.dtypes import CODE_BITS
from kxchange.format.foreign import foreign_kind
from kxchange.format.layout import TensorEntry, layout_key
from kxchange.format.limits import (
    DIM_BELOW,
    ELEMENTS_BELOW,
    FILE_SIZE_BELOW,
    HEADER_ALIGNMENT,
    MAX_HEADER_BYTES,
    MAX_HEADER_STRUCTURAL_BYTES,
    MAX_RANK,
    MAX_TENSORS,
    check_limit,
)
from kxchange.format.names import METADATA_KEY, check_name, shown

LENGTH_BYTES = 8
DOCUMENT_KEY = "kx"
FORMAT_KEY = "format"
_ENTRY_KEYS = frozenset({"dtype", "shape", "data_offsets"})


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a tensor file says."""

    entries: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    data_offset: int
    """Where the data section starts in the file, in bytes."""


def header_length(prefix: bytes, file_size: int, source: str) -> int:
    """Length of the JSON part, checked before any of it is read.

    Args:
        prefix: The first bytes of the file; 64 are enough to recognise other formats.
        file_size: Size of the file in bytes.
        source: How messages call the file.

    Raises:
        FormatError: The file cannot be a tensor file; the message says what it looks like instead.
        LimitError: The header is above 25,000,000 bytes.
    """
    length = int.from_bytes(prefix[:LENGTH_BYTES], "little")
    plausible = LENGTH_BYTES + 2 <= LENGTH_BYTES + length <= file_size < FILE_SIZE_BELOW
    if (not plausible or length > MAX_HEADER_BYTES) and (kind := foreign_kind(prefix)):
        raise FormatError(f"{source} is not a tensor file: it is {kind}.")
    if file_size < LENGTH_BYTES + 2:
        size = "is empty" if file_size == 0 else f"has only {file_size} bytes"
        raise FormatError(f"{source} {size}; a tensor file has at least {LENGTH_BYTES + 2}.")
    if file_size >= FILE_SIZE_BELOW:
        raise FormatError(f"{source}: a size of {file_size:,} bytes is at or above the limit of 2^63.")
    check_limit(length, MAX_HEADER_BYTES, f"{source}: header bytes")
    if not plausible:
        raise FormatError(f"{source} claims a header of {length:,} bytes and has {file_size:,} bytes in all.")
    return length


def parse_header(raw: bytes, file_size: int, *, strict: bool = True, source: str = "The file") -> Header:
    """Read and check a whole header.

    Args:
        raw: The file from its first byte to the end of the header: the length and the JSON.
        file_size: Size of the file in bytes; every byte must belong to the header or to one tensor.
        strict: Require the `.kx` form. Otherwise any valid safetensors header passes.
        source: How messages call the file.

    Returns:
        The entries in the order of the header, and the metadata.

    Raises:
        FormatError: Anything malformed, ambiguous, overlapping, out of range or not in the required form.
        LimitError: Beyond a limit of `kxchange.format.limits`.
    """
    length = header_length(raw, file_size, source)
    if len(raw) != LENGTH_BYTES + length:
        raise FormatError(
            f"{source} ends inside its header: {len(raw):,} of {LENGTH_BYTES + length:,} bytes are there."
        )
    plain = _read_plainly(raw, file_size, strict, source)
    if plain is not None:
        return plain
    table = _table(raw, source)
    metadata = _metadata(table.get(METADATA_KEY, {}), source)
    if strict:
        _check_metadata_keys(metadata, source)
    entries = {name: _entry(name, fields, source) for name, fields in table.items() if name != METADATA_KEY}
    _check_names(entries, strict, source)
    _check_coverage(entries, file_size - len(raw), source)
    if strict:
        _check_order(entries, source)
        _check_spelling(table, raw, source)
    return Header(MappingProxyType(entries), MappingProxyType(metadata), len(raw))


def _read_plainly(raw: bytes, file_size: int, strict: bool, source: str) -> Header | None:
    text = raw[LENGTH_BYTES:].rstrip(b" ")
    if raw[LENGTH_BYTES] != ord("{") or not text.endswith(b"}") or (strict and not _is_padded(raw, text)):
        return None
    found = plain_header.read_plainly(text, file_size - len(raw), _measured, strict=strict)
    if found is None:
        return None
    entries, table = found
    metadata = _metadata(table, source)
    if strict:
        _check_metadata_keys(metadata, source)
    return Header(MappingProxyType(entries), MappingProxyType(metadata), len(raw))


def _table(raw: bytes, source: str) -> dict[str, Any]:
    if raw[LENGTH_BYTES] != ord("{"):
        raise FormatError(f"{source}: the header does not start with '{{' but with byte 0x{raw[LENGTH_BYTES]:02x}.")
    text = raw[LENGTH_BYTES:].rstrip(b" ")
    if not text.endswith(b"}"):
        raise FormatError(f"{source}: the header ends with byte 0x{text[-1]:02x}; only blanks may follow the '}}'.")
    # Counted before anything is built: a million tensors of size zero would otherwise cost gigabytes.
    check_limit(text.count(b'"data_offsets"'), MAX_TENSORS, f"{source}: tensors")
    what = f"{source}: the header"
    return canonical_json.decode(text, what=what, canonical=False, structural_limit=MAX_HEADER_STRUCTURAL_BYTES)


def _metadata(value: Any, source: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise FormatError(f"{source}: {METADATA_KEY} is not an object.")
    metadata = cast("dict[str, Any]", value)
    for key, text in metadata.items():
        if not isinstance(text, str):
            raise FormatError(f"{source}: the value of {shown(key)} in {METADATA_KEY} is not a string.")
    return metadata


def _check_metadata_keys(metadata: Mapping[str, str], source: str) -> None:
    if DOCUMENT_KEY not in metadata:
        raise FormatError(
            f"{source} is a safetensors file without a kx architecture: {METADATA_KEY} has no key {DOCUMENT_KEY!r}. "
            "A program that only knows safetensors drops it when it saves again; load the file as plain weights."
        )
    for key in metadata:
        if key not in (DOCUMENT_KEY, FORMAT_KEY):
            raise FormatError(f"{source}: {METADATA_KEY} has the unknown key {shown(key)}.")


def _entry(name: str, value: object, source: str) -> TensorEntry:
    try:
        return _checked_entry(name, value)
    except FormatError as error:
        # The subject is put in front only here: a file can have 200,000 sound tensors.
        raise type(error)(f"{source}: tensor {shown(name)}: {error}") from None


def _checked_entry(name: str, value: object) -> TensorEntry:
    fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    if fields.keys() != _ENTRY_KEYS:
        raise FormatError(f"an entry must have exactly the fields {', '.join(sorted(_ENTRY_KEYS))}.")
    code = fields["dtype"]
    if not isinstance(code, str) or code not in CODE_BITS:
        raise FormatError(f"the dtype {shown(code)} is unknown; known are {', '.join(CODE_BITS)}.")
    offsets = _sizes(fields["data_offsets"])
    if offsets is None or len(offsets) != 2 or offsets[0] > offsets[1]:
        shown_offsets = shown(fields["data_offsets"])
        raise FormatError(f"the data_offsets are {shown_offsets}; they must be a begin and an end not before it.")
    dims = fields["shape"]
    if isinstance(dims, list):  # Before a million dims are looked at one by one.
        check_limit(len(cast("list[object]", dims)), MAX_RANK, "rank")
    shape = _sizes(cast("object", dims))
    if shape is None:
        raise FormatError(f"the shape is {shown(fields['shape'])}; it must be a list of integers of at least 0.")
    begin, end = offsets
    if end - begin != _measured(code, shape):
        raise FormatError(f"the data has {end - begin:,} bytes; {code}{shape} needs {_measured(code, shape):,}.")
    return TensorEntry(name, code, tuple(shape), begin, end)


def _sizes(value: object) -> list[int] | None:
    """A list of integers of at least 0, or `None`."""
    if not isinstance(value, list):
        return None
    items = cast("list[object]", value)
    for item in items:
        # `type` and not `isinstance`: true is an int to Python.
        if type(item) is not int or item < 0:
            return None
    return cast("list[int]", items)


def _measured(code: str, shape: list[int]) -> int:
    """Bytes of a tensor."""
    check_limit(len(shape), MAX_RANK, "rank")
    check_limit(max(shape, default=0), DIM_BELOW - 1, "dim")
    bounded = [dim or 1 for dim in shape] if 0 in shape else shape
    check_limit(prod(bounded), ELEMENTS_BELOW - 1, "product of the dims, zeros as ones")
    bits = prod(shape) * CODE_BITS[code]
    if bits % 8:
        raise FormatError(f"{code}{shape} needs {bits / 8:,} bytes, which is not a whole number.")
    return bits // 8


def _check_names(entries: Mapping[str, TensorEntry], strict: bool, source: str) -> None:
    seen: dict[str, str] = {}
    what = f"{source}: tensor name"
    for name in entries:
        check_name(name, what, normalized=strict)
        twin = seen.setdefault(unicodedata.normalize("NFC", name), name)
        if twin is not name:
            raise FormatError(f"{source}: tensors {shown(twin)} and {shown(name)} have names that look the same.")


def _check_coverage(entries: Mapping[str, TensorEntry], data_size: int, source: str) -> None:
    """Every byte of the data section belongs to exactly one tensor."""
    position, previous = 0, "the start"
    for entry in sorted(entries.values(), key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != position:
            fault = "a hole" if entry.begin > position else "an overlap"
            raise FormatError(f"{source} has {fault} between {previous} and tensor {shown(entry.name)} in its data.")
        position, previous = entry.end, f"tensor {shown(entry.name)}"
    if position > data_size:
        raise FormatError(f"{source} is cut short: {position - data_size:,} bytes of tensor data are missing.")
    if position < data_size:
        raise FormatError(f"{source} has {data_size - position:,} bytes after its last tensor.")


def _check_order(entries: Mapping[str, TensorEntry], source: str) -> None:
    position = 0
    for entry in sorted(entries.values(), key=layout_key):
        if entry.begin != position:
            raise FormatError(
                f"{source}: tensor {shown(entry.name)} lies at {entry.begin:,} and not at {position:,}: "
                "the tensors are not in canonical order."
            )
        position = entry.end


def _check_spelling(table: Mapping[str, Any], raw: bytes, source: str) -> None:
    text = raw[LENGTH_BYTES:].rstrip(b" ")
    canonical_json.check_canonical(table, text, what=f"{source}: the header")
    if not _is_padded(raw, text):
        raise FormatError(
            f"{source}: the data starts at {len(raw):,}, not at the next multiple of {HEADER_ALIGNMENT} after its text."
        )


def _is_padded(raw: bytes, text: bytes) -> bool:
    return len(raw) % HEADER_ALIGNMENT == 0 and len(raw) - LENGTH_BYTES - len(text) < HEADER_ALIGNMENT
