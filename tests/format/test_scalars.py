"""Attribute scalars: every bit survives, and one value has one spelling."""

from __future__ import annotations

import math
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kxchange.errors import FormatError, LimitError
from kxchange.format.canonical_json import decode, encode
from kxchange.format.scalars import decode_scalar, encode_scalar
from kxchange.types import DType

# IEEE 754 bits from the standard's definition; 1.0 is exponent = bias, fraction = 0.
SPELLINGS: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (0, 0),
    (-7, -7),
    (2**53, 2**53),
    (2**53 + 1, "i64:9007199254740993"),
    (-(2**63), "i64:-9223372036854775808"),
    (2**63 - 1, "i64:9223372036854775807"),
    (2**63, "u64:9223372036854775808"),
    (2**64 - 1, "u64:18446744073709551615"),
    (1.0, "f64:0x3ff0000000000000"),
    (-0.0, "f64:0x8000000000000000"),
    (math.inf, "f64:0x7ff0000000000000"),
    (-math.inf, "f64:0xfff0000000000000"),
    (5e-324, "f64:0x0000000000000001"),
    (complex(1.0, -2.0), "c128:0x3ff0000000000000,0xc000000000000000"),
    (np.float32(1.0), "f32:0x3f800000"),
    (np.float32(-0.0), "f32:0x80000000"),
    (np.float16(1.0), "f16:0x3c00"),
    (ml_dtypes.bfloat16(1.0), "bf16:0x3f80"),
    (ml_dtypes.float8_e4m3fn(1.0), "f8_e4m3fn:0x38"),
    (ml_dtypes.float8_e5m2(1.0), "f8_e5m2:0x3c"),
    (np.complex64(1 - 2j), "c64:0x3f800000,0xc0000000"),
    (np.int8(-3), "i8:-3"),
    (np.uint8(255), "u8:255"),
    (np.int32(5), "i32:5"),
    (ml_dtypes.int4(-8), "i4:-8"),
    (ml_dtypes.uint2(3), "u2:3"),
    ("same", "same"),
    ("", ""),
    ("f32:0x3f800000", "str:f32:0x3f800000"),
    ("str:x", "str:str:x"),
    ("u64:", "str:u64:"),
    ("https://x.y/%s", "https://x.y/%s"),
]


@pytest.mark.parametrize(("value", "spelling"), SPELLINGS)
def test_spelling_both_ways(value: Any, spelling: Any) -> None:
    assert encode_scalar(value) == spelling
    assert type(encode_scalar(value)) is type(spelling)
    back = decode_scalar(spelling)
    assert type(back) is type(value)
    assert back == value
    if isinstance(value, float):
        assert math.copysign(1, back) == math.copysign(1, value)
    assert encode(spelling) is not None  # every spelling is canonical JSON


@pytest.mark.parametrize("bits", [0x7FF8000000000001, 0xFFF8000000000123, 0x7FF0000000000001])
def test_nan_payloads_survive(bits: int) -> None:
    value = struct.unpack("<d", struct.pack("<Q", bits))[0]
    spelling = encode_scalar(value)
    assert spelling == f"f64:0x{bits:016x}"
    assert struct.pack("<d", decode_scalar(spelling)) == struct.pack("<Q", bits)


def test_signalling_nan_of_float32_survives() -> None:
    value = np.array([0x7F800001], np.uint32).view(np.float32)[0]
    spelling = encode_scalar(value)
    assert spelling == "f32:0x7f800001"
    assert np.array([decode_scalar(spelling)]).view(np.uint32)[0] == 0x7F800001


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        (np.int64(5), 5),
        (np.longlong(5), 5),
        (np.uint64(2**63), "u64:9223372036854775808"),
        (np.bool_(True), True),
        (np.float64(1.0), "f64:0x3ff0000000000000"),
        (np.complex128(1j), "c128:0x0000000000000000,0x3ff0000000000000"),
        (np.str_("x"), "x"),
    ],
)
def test_numpy_scalars_of_python_width_are_python_numbers(value: Any, spelling: Any) -> None:
    assert encode_scalar(value) == spelling
    assert type(encode_scalar(value)) is type(spelling)


@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype is not DType.BOOL])
def test_every_element_type_has_a_spelling(dtype: DType) -> None:
    value = np.ones((), dtype.numpy)[()]
    back = decode_scalar(encode_scalar(value))
    assert np.asarray(back, dtype.numpy).tobytes() == np.asarray(value).tobytes()


@pytest.mark.parametrize(
    "text",
    [
        "f32:0x3F800000",
        "f32:0x3f80000",
        "f32:0x3f8000000",
        "f32:3f800000",
        "f32:1.0",
        "f32:",
        "f64:0x3ff0000000000000,0x0000000000000000",
        "c64:0x3f800000",
        "i64:5",
        "i64:-0",
        "i64:9223372036854775808",
        "u64:18446744073709551616",
        "u64:-1",
        "i8:128",
        "i8:+1",
        "i8:01",
        "i8: 1",
        "i8:1_0",
        "i8:٣",
        "u4:16",
        "i64:" + "9" * 5000,
        "str:plain",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        decode_scalar(text)


@pytest.mark.parametrize(
    "value", [[1], np.zeros(1), np.zeros(()), b"x", np.datetime64(0, "s"), np.longdouble(1), object()]
)
def test_what_is_no_scalar_is_refused(value: Any) -> None:
    with pytest.raises(FormatError):
        encode_scalar(value)


def test_limits() -> None:
    for value in (2**64, -(2**63) - 1):
        with pytest.raises(LimitError):
            encode_scalar(value)
    assert encode_scalar("é" * 2**15) == "é" * 2**15
    with pytest.raises(LimitError, match="65,538 is above the limit of 65,536"):
        encode_scalar("é" * (2**15 + 1))


@given(st.floats(allow_nan=True) | st.integers(-(2**63), 2**64 - 1) | st.complex_numbers() | st.text(max_size=20))
def test_all_python_scalars_survive_json(value: Any) -> None:
    try:
        text = encode(encode_scalar(value))
    except FormatError as error:
        assert isinstance(value, str)
        assert "surrogate" in str(error) or "normal form C" in str(error)
        return
    back = decode_scalar(decode(text))
    assert type(back) is type(value)
    assert np.asarray(back).tobytes() == np.asarray(value).tobytes()
