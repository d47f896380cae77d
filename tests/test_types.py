import ml_dtypes
import numpy as np
import pytest

from kxchange.dims import symbol
from kxchange.errors import TypeInferenceError
from kxchange.types import DType, TensorType


@pytest.mark.parametrize("dtype", DType)
def test_every_dtype_has_a_numpy_dtype_that_leads_back(dtype):
    assert DType.of(dtype.numpy) is dtype


def test_sub_byte_types_know_their_size():
    assert [DType.INT4.bits, DType.UINT2.bits, DType.FLOAT4_E2M1FN.bits, DType.BOOL.bits] == [4, 2, 4, 8]


def test_kinds():
    assert DType.BFLOAT16.is_floating
    assert not DType.BFLOAT16.is_integer
    assert DType.UINT8.is_integer
    assert not DType.UINT8.is_signed
    assert not DType.BOOL.is_numeric
    assert DType.COMPLEX64.real is DType.FLOAT32


def test_of_takes_ml_dtypes_and_refuses_objects():
    assert DType.of(ml_dtypes.bfloat16) is DType.BFLOAT16
    with pytest.raises(TypeInferenceError, match="no element type 'object'"):
        DType.of(np.dtype(object))


@pytest.mark.parametrize("text", ["float32[batch, 3, 2*h]", "bool[]", "int64[max(a, 4), n//2]"])
def test_type_prints_what_it_parses(text):
    assert str(TensorType.parse(text)) == text


@pytest.mark.parametrize("text", ["float32", "float33[2]", "float32[2", "float32[2,]x", "float32[__import__('os')]"])
def test_malformed_types_are_refused(text):
    with pytest.raises(Exception, match=r"not a tensor type|dim|Dim|name") as caught:
        TensorType.parse(text)
    assert type(caught.value).__module__ == "kxchange.errors"


def test_replacing_parts():
    type = TensorType(DType.FLOAT32, (symbol("b"), 2))
    assert str(type.with_dtype(DType.FLOAT64)) == "float64[b, 2]"
    assert type.with_shape((1,)).shape == (1,)
