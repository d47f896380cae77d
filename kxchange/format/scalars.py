"""Attribute scalars as JSON: typed strings wherever a JSON number could lose a bit.

| Python value | JSON |
|---|---|
| `None`, `True`, an int within plus or minus 2^53 | itself |
| another int of 64 bits | `"i64:-9223372036854775808"`, `"u64:18446744073709551615"` |
| a float | `"f64:0x3ff0000000000000"`: the IEEE 754 bits, most significant first |
| a complex | `"c128:0x3ff0000000000000,0x0000000000000000"`: real, imaginary |
| a NumPy scalar of another type | `"f32:0x3f800000"`, `"bf16:0x3f80"`, `"i8:-3"`, `"c64:0x...,0x..."` |
| a string | itself; one that looks typed gets the prefix `"str:"` |

NaN payloads, -0.0 and infinities survive. One value has one spelling; `decode_scalar` refuses any other.
"""

from __future__ import annotations

import re
from typing import cast

import numpy as np

from kxchange.errors import FormatError, KxchangeError, LimitError
from kxchange.format.limits import MAX_JSON_INTEGER, MAX_STRING_BYTES, check_limit
from kxchange.types import DType

Scalar = bool | int | float | complex | str | np.generic | None
"""What an attribute can hold as one value."""

_TAGS: dict[DType, str] = {
    DType.INT2: "i2",
    DType.INT4: "i4",
    DType.INT8: "i8",
    DType.INT16: "i16",
    DType.INT32: "i32",
    DType.INT64: "i64",
    DType.UINT2: "u2",
    DType.UINT4: "u4",
    DType.UINT8: "u8",
    DType.UINT16: "u16",
    DType.UINT32: "u32",
    DType.UINT64: "u64",
    DType.FLOAT4_E2M1FN: "f4_e2m1fn",
    DType.FLOAT8_E4M3FN: "f8_e4m3fn",
    DType.FLOAT8_E4M3FNUZ: "f8_e4m3fnuz",
    DType.FLOAT8_E5M2: "f8_e5m2",
    DType.FLOAT8_E5M2FNUZ: "f8_e5m2fnuz",
    DType.FLOAT8_E8M0FNU: "f8_e8m0fnu",
    DType.FLOAT16: "f16",
    DType.BFLOAT16: "bf16",
    DType.FLOAT32: "f32",
    DType.FLOAT64: "f64",
    DType.COMPLEX64: "c64",
    DType.COMPLEX128: "c128",
}
_DTYPES = {tag: dtype for dtype, tag in _TAGS.items()}
_STRING_TAG = "str"
_TYPED = re.compile(rf"({'|'.join([_STRING_TAG, *_DTYPES])}):", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)


def encode_scalar(value: Scalar) -> bool | int | str | None:
    """A scalar as a JSON value without floats.

    Args:
        value: `None`, bool, int, float, complex, str or a NumPy or ml_dtypes scalar. NumPy's bool, int64, uint64,
            float64 and complex128 scalars are the Python numbers they equal.

    Returns:
        The JSON value that `decode_scalar` turns back.

    Raises:
        FormatError: Another type.
        LimitError: An integer outside 64 bits, or a string above 64 KiB.
    """
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, str):
        return _encode_string(value)
    if isinstance(value, int):
        return _encode_integer(value)
    number = np.asarray(value)
    if number.ndim or not isinstance(cast("object", value), float | complex | np.generic):
        raise FormatError(f"An attribute cannot hold a value of type {type(value).__name__}: it is not a scalar.")
    return _encode_number(number)


def _encode_string(value: str) -> str:
    check_limit(len(value.encode("utf-8", "surrogatepass")), MAX_STRING_BYTES, "A string attribute: bytes")
    return f"{_STRING_TAG}:{value}" if _TYPED.match(value) else str(value)


def _encode_integer(value: int) -> int | str:
    if abs(value) <= MAX_JSON_INTEGER:
        return value
    if -(2**63) <= value < 2**63:
        return f"i64:{value}"
    if value < 0 or value >= 2**64:
        raise LimitError(f"An attribute cannot hold an integer of {value.bit_length()} bits; 64 bits are the most.")
    return f"u64:{value}"


def _encode_number(number: np.ndarray) -> int | str:
    try:
        dtype = DType.of(number.dtype)
        tag = _TAGS[dtype]
    except (KxchangeError, KeyError):
        raise FormatError(f"An attribute cannot hold a scalar of type {number.dtype}.") from None
    if dtype in (DType.INT64, DType.UINT64):
        return _encode_integer(int(number))
    if dtype.is_integer:
        return f"{tag}:{int(number)}"
    parts = number.reshape(1).view(dtype.real.numpy)
    return f"{tag}:" + ",".join(f"0x{part.tobytes()[::-1].hex()}" for part in parts)


def decode_scalar(value: bool | int | str | None) -> Scalar:
    """The scalar that `encode_scalar` spelled this way.

    Args:
        value: A JSON value.

    Returns:
        `None`, a bool, an int (also for `i64` and `u64`), a float (for `f64`), a complex (for `c128`), a string, or a
        NumPy scalar of the tagged type.

    Raises:
        FormatError: A malformed typed string, or one that `encode_scalar` would have spelled otherwise.
    """
    if not isinstance(value, str):
        return value
    match = _TYPED.match(value)
    if match is None:
        return value
    tag, body = match[1], value[match.end() :]
    if tag == _STRING_TAG:
        scalar: Scalar = body
    elif _DTYPES[tag].is_integer:
        scalar = _decode_integer(body, _DTYPES[tag], value)
    else:
        scalar = _decode_bits(body, _DTYPES[tag], value)
    if encode_scalar(scalar) != value:
        raise _malformed(value)
    return scalar


def _decode_integer(body: str, dtype: DType, value: str) -> Scalar:
    if not _INTEGER.fullmatch(body):
        raise _malformed(value)
    number = int(body)
    if dtype in (DType.INT64, DType.UINT64):
        return number
    low = -(2 ** (dtype.bits - 1)) if dtype.is_signed else 0
    if not low <= number < low + 2**dtype.bits:
        raise _malformed(value)
    return cast("np.generic", np.array(number).astype(dtype.numpy)[()])


def _decode_bits(body: str, dtype: DType, value: str) -> Scalar:
    digits = dtype.real.numpy.itemsize * 2
    parts = body.split(",")
    if len(parts) != 1 + dtype.is_complex or not all(re.fullmatch(rf"0x[0-9a-f]{{{digits}}}", part) for part in parts):
        raise _malformed(value)
    data = b"".join(bytes.fromhex(part[2:])[::-1] for part in parts)
    number = np.frombuffer(data, dtype.numpy)[0]
    return number.item() if dtype in (DType.FLOAT64, DType.COMPLEX128) else number


def _malformed(value: str) -> FormatError:
    return FormatError(
        f"{value[:80]!a} is not a scalar as kxchange spells it; the file is damaged or not from kxchange."
    )
