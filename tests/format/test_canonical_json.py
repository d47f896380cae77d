"""Canonical JSON: one spelling for one value, and nothing two readers could understand in two ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bounded import bounded
from hypothesis import given
from hypothesis import strategies as st

from kxchange.errors import FormatError, LimitError
from kxchange.format.canonical_json import decode, encode

NFD = "e\u0301"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "x"]}, b'{"a":[true,null,"x"],"b":1}'),
        ({"ä": 1, "z": 2, "Z": 3}, '{"Z":3,"z":2,"ä":1}'.encode()),
        ((1, (2, 3)), b"[1,[2,3]]"),
        (
            'quote " back \\ slash / tab \t nul \x00 del \x7f',
            b'"quote \\" back \\\\ slash / tab \\t nul \\u0000 del \x7f"',
        ),
        (2**53, b"9007199254740992"),
        (-(2**53), b"-9007199254740992"),
        ({}, b"{}"),
        # A control escape before a combining mark: the letter of the escape must not combine with it.
        ("\n\u0303", b'"\\n\xcc\x83"'),
    ],
)
def test_one_spelling_both_ways(value: Any, text: bytes) -> None:
    assert encode(value) == text
    assert encode(decode(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON"),
        (b'{"a":1', "not JSON"),
        (b'{"a":1}x', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b"01", "not JSON"),
        (b"[1,]", "not JSON"),
        (b'"a\nb"', "not JSON"),
        (b"]]][[[", "not JSON"),
        (b'{"a":1,"a":1}', "key 'a' twice"),
        (b'[{"x":[{"b":1,"\\u0062":2}]}]', "key 'b' twice"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"-Infinity", "-Infinity"),
        (b"1e999", "1e999"),
        (b"4.0", "4.0"),
        (b"1E2", "1E2"),
        (b"-0", "-0"),
        (b"-0.0", "-0.0"),
        (b"9007199254740993", "2\\^53"),
        (b"-9007199254740993", "2\\^53"),
        pytest.param(b"1" * 10_000_000, "2\\^53", id="ten million digits"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff":1}', "surrogate"),
        (b'"\xc0\x80"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"\xff", "not UTF-8"),
    ],
)
@pytest.mark.parametrize("canonical", [True, False])
def test_refused_in_every_mode(text: bytes, message: str, canonical: bool) -> None:
    with pytest.raises(FormatError, match=message):
        decode(text, canonical=canonical)


@pytest.mark.parametrize(
    "text",
    [
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b' {"a":1}',
        b"[1]\n",
        b'"\\/"',
        b'"\\u0041"',
        b'"\\u00e9"',
        b'"\\u000A"',
        b'"\\u007f"',
        f'"{NFD}"'.encode(),
        f'{{"{NFD}":1}}'.encode(),
    ],
)
def test_other_spellings_are_refused_only_where_the_form_matters(text: bytes) -> None:
    with pytest.raises(FormatError, match="not canonical|normal form C"):
        decode(text)
    assert decode(text, canonical=False) == json.loads(text)


def test_normal_form_c_twins_of_one_key_are_not_both_kept() -> None:
    with pytest.raises(FormatError, match="normal form C"):
        decode(f'{{"{NFD}":1,"é":2}}'.encode())


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_depth_64_passes_and_65_does_not(brackets: str) -> None:
    opening, closing = ("[", "]") if brackets == "[]" else ('{"[":', "}")
    deep = opening * 63 + brackets + closing * 63
    value = decode(deep.encode())
    assert encode(value) == deep.encode()
    with pytest.raises(LimitError, match="nesting"):
        decode((opening + deep + closing).encode())
    with pytest.raises(LimitError, match="nesting"):
        encode([value])


def test_brackets_in_strings_do_not_nest() -> None:
    value = ["[" * 100, '"[\\', "\\", "{[" * 50, '\\"[']
    assert decode(encode(value)) == value


def test_depth_is_counted_before_the_parser_could_overflow() -> None:
    with pytest.raises(LimitError, match=r"nesting: 1,000,000 is above the limit of 64"):
        decode(b"[" * 1_000_000)
    with pytest.raises(LimitError, match="nesting"):
        decode(b'{"a":' * 500_000)


def test_structure_is_counted_before_anything_is_built() -> None:
    with bounded(), pytest.raises(LimitError, match=r"above the limit of 2,000,000"):
        decode(b"[" + b"[]," * 3_300_000 + b"[]]")
    assert len(decode(b"[" + b"0," * 1_000_000 + b"0]")) == 1_000_001


def test_what_cannot_be_read_back_is_not_written() -> None:
    with pytest.raises(LimitError, match="above the limit of 10"):
        encode([0] * 20, structural_limit=10)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, "float"),
        ({"a": [float("nan")]}, "float"),
        ({1: 2}, "keys are strings"),
        ({None: 2}, "keys are strings"),
        ({"a": b"x"}, "bytes"),
        ([{1, 2}], "set"),
        (2**53 + 1, "54 bits"),
        pytest.param(-(10**5000), "bits", id="giant"),
        (NFD, "normal form C"),
        ({NFD: 1}, "normal form C"),
        ("\ud800", "surrogate"),
        ({"\udfff": 1}, "surrogate"),
    ],
)
def test_values_that_have_no_spelling(value: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        encode(value)


def test_messages_name_the_document_and_escape_its_text() -> None:
    with pytest.raises(FormatError) as caught:
        decode(b'{"\x1b[31m":1,"\x1b[31m":2}'.replace(b"\x1b", b"\\u001b"), what="net.kx: header")
    assert "net.kx: header" in str(caught.value)
    assert "\x1b" not in str(caught.value)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_every_value_comes_back_or_is_refused(value: Any) -> None:
    try:
        text = encode(value)
    except FormatError as error:
        assert "normal form C" in str(error)  # the only thing wrong with such a value
        return
    assert decode(text) == value
    assert json.loads(text) == value


@given(st.binary(max_size=40) | st.text('[]{}",:\\u0e-1 ntrfalse\u0301é', max_size=40).map(str.encode))
def test_whatever_is_accepted_is_what_json_says_and_is_written_back_the_same(text: bytes) -> None:
    for canonical in (True, False):
        try:
            value = decode(text, canonical=canonical)
        except FormatError:
            continue
        assert value == json.loads(text)
        if canonical:
            assert encode(value) == text
