"""Against the official safetensors library: what it refuses is never accepted, what both accept is the same."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from kxchange.errors import FormatError
from kxchange.format import header, plain_header
from kxchange.format.header import LENGTH_BYTES, parse_header
from kxchange.format.layout import build_header, lay_out

WIDTHS = {"BOOL": 1, "U8": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I16": 2, "BF16": 2, "F32": 4, "C64": 8, "F64": 8, "U64": 8}
NAMES = st.sampled_from(
    ["a", "b", "layer.0.weight", "\u00e9", "e\u0301", "__metadata__", "__kx__", "", "a\x00", "\ud800"]
)
SHAPES = st.lists(st.integers(0, 3) | st.sampled_from([2**31, 2**48, 2**62, 2**63 - 1, 2**64]), max_size=3)
TOKENS = st.sampled_from(
    [
        *(b"{", b"}", b"[", b"]", b",", b":", b'"', b" ", b"\t", b"\n", b"\0", b"-", b"-0", b".0", b"1", b"0", b"e1"),
        *(b"true", b"null", b"NaN", b'"a"', b'"dtype"', b'"shape"', b'"data_offsets"', b'"__metadata__"', b"\\u0000"),
        *(
            b"[0,0]",
            b"[0,4]",
            b'"F4"',
            b'"F6_E2M3"',
            b'"I4"',
            b'"x":1,',
            b'"kx":"",',
            b"\xc0\x80",
            b"\xff",
            b"\xef\xbb\xbf",
        ),
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, int]:
    """Header text that is nearly or quite right, and the size of the data."""
    entries: list[str] = []
    position = 0
    for _ in range(draw(st.integers(0, 4))):
        code, shape = draw(st.sampled_from(sorted(WIDTHS))), draw(SHAPES)
        size = WIDTHS[code]
        for dim in shape:
            size *= dim
        fields: list[tuple[str, Any]] = [
            ("dtype", code),
            ("shape", shape),
            ("data_offsets", [position, position + size]),
        ]
        body = ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in draw(st.permutations(fields)))
        entries.append(f"{json.dumps(draw(NAMES), ensure_ascii=draw(st.booleans()))}:{{{body}}}")
        position += size
    if draw(st.booleans()):
        metadata = draw(st.dictionaries(st.sampled_from(["kx", "format", "", "x"]), st.sampled_from(["pt", "{}", "é"])))
        entries.insert(draw(st.integers(0, len(entries))), f'"__metadata__":{json.dumps(metadata)}')
    text = ("{" + ",".join(entries) + "}" + " " * draw(st.integers(0, 9))).encode("utf-8", "surrogatepass")
    return text, position


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A file with none or a few faults in its header, its length or its size."""
    text, size = draw(tables())
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 3)))
        text = text[:start] + draw(TOKENS) + text[end:]
    length = len(text) + draw(st.sampled_from([*[0] * 12, 1, -1, 2**32, 2**63]))
    size = min(max(size + draw(st.sampled_from([*[0] * 12, 1, -1])), 0), 4096)
    return max(length, 0).to_bytes(8, "little") + text + b"\x01" * size


def ours(file: bytes, *, strict: bool) -> dict[str, tuple[str, list[int], bytes]] | None:
    length = int.from_bytes(file[:LENGTH_BYTES], "little")
    raw = file[: LENGTH_BYTES + min(length, len(file))]
    try:
        parsed = parse_header(raw, len(file), strict=strict)
    except FormatError:
        return None
    data = file[parsed.data_offset :]
    return {name: (e.dtype, list(e.shape), data[e.begin : e.end]) for name, e in parsed.entries.items()}


def theirs(file: bytes) -> dict[str, tuple[str, list[int], bytes]] | None:
    try:
        tensors = deserialize(file)
    except SafetensorError:
        return None
    return {name: (info["dtype"], list(info["shape"]), bytes(info["data"])) for name, info in tensors}


@settings(max_examples=600)
@given(files())
def test_nothing_is_accepted_that_the_reference_refuses(file: bytes) -> None:
    reference = theirs(file)
    for strict in (True, False):
        found = ours(file, strict=strict)
        if found is not None:
            assert found == reference
    event(f"reference accepts: {reference is not None}, we accept: {ours(file, strict=False) is not None}")


@settings(max_examples=150)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=9).filter(
            lambda name: not name.startswith("__")
        ),
        st.tuples(st.sampled_from(sorted(WIDTHS)), st.lists(st.integers(0, 9), max_size=3).map(tuple)),
        max_size=6,
    ),
    st.text(max_size=20),
)
def test_what_we_write_both_read_the_same(tensors: dict[str, tuple[str, Any]], document: str) -> None:
    entries = lay_out((name, code, shape) for name, (code, shape) in tensors.items())
    try:
        written = build_header(entries, {"format": "pt", "kx": document})
    except FormatError as error:
        assert "surrogate" in str(error) or "normal form C" in str(error)
        return
    file = written + b"\x01" * (entries[-1].end if entries else 0)
    assert ours(file, strict=True) == ours(file, strict=False) == theirs(file)


@settings(max_examples=600)
@given(files())
def test_the_short_way_takes_nothing_that_the_long_way_refuses_and_says_the_same(file: bytes) -> None:
    for strict in (True, False):
        found = ours(file, strict=strict)
        with mock.patch.object(plain_header, "read_plainly", return_value=None):
            assert found == ours(file, strict=strict)


@pytest.mark.parametrize("strict", [True, False])
def test_the_usual_spellings_go_the_short_way(strict: bool) -> None:
    entries = lay_out((f"{i}.weight", "F32", (2, i)) for i in range(5))
    raw = build_header(entries, {"format": "pt", "kx": '{"a":"}"}'})
    with mock.patch.object(header, "_table", side_effect=AssertionError):
        assert list(parse_header(raw, len(raw) + entries[-1].end, strict=strict).entries) == sorted(
            e.name for e in entries
        )
    if not strict:
        raw = save({e.name: np.zeros(e.shape, np.float32) for e in entries}, {"format": "pt"})
        end = 8 + int.from_bytes(raw[:8], "little")
        with mock.patch.object(header, "_table", side_effect=AssertionError):
            assert len(parse_header(raw[:end], len(raw), strict=False).entries) == 5
