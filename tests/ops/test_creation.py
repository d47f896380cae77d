"""Creation ops on edge cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.constant import Constant
from kxchange.dims import parse_dim
from kxchange.errors import TypeInferenceError
from kxchange.graph import Graph, Value
from kxchange.reference import evaluate
from kxchange.types import DType


def run(value: Value, **dims: int) -> np.ndarray:
    return evaluate(Graph((), (value,)), [], dims=dims)[0]


def test_full_keeps_integers_whole() -> None:
    assert run(ops.full(shape=(1,), value=2**63 - 1, dtype=DType.INT64)).tolist() == [2**63 - 1]
    assert run(ops.full(shape=(1,), value=2**64 - 1, dtype=DType.UINT64)).tolist() == [2**64 - 1]
    assert run(ops.full(shape=(1,), value=-(2**63), dtype=DType.INT64)).tolist() == [-(2**63)]


def test_full_of_a_size() -> None:
    value = ops.full(shape=(parse_dim("n"),), value=parse_dim("2*n+1"), dtype=DType.FLOAT32)
    assert run(value, n=2).tolist() == [5.0, 5.0]


def test_full_overflows_to_infinity_d10() -> None:
    assert run(ops.full(shape=(), value=-1e9, dtype=DType.FLOAT16)) == -np.inf
    assert float(run(ops.full(shape=(), value=1 / 3, dtype=DType.FLOAT32))) == float(np.float32(1 / 3))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (300, DType.INT8),
        (-1, DType.UINT8),
        (2.5, DType.INT32),
        (float("nan"), DType.INT32),
        (2, DType.BOOL),
        (1j, DType.FLOAT32),
        (parse_dim("n"), DType.BOOL),
    ],
)
def test_full_refuses_what_the_dtype_cannot_say(value: complex, dtype: DType) -> None:
    with pytest.raises(TypeInferenceError, match=dtype.value):
        ops.full(shape=(), value=value, dtype=dtype)


@pytest.mark.parametrize(
    ("start", "stop", "step", "expected"),
    [
        (0, 5, 2, [0, 2, 4]),
        (5, 0, -2, [5, 3, 1]),
        (3, 3, 1, []),
        (3, 1, 1, []),
        (-2, 2, 1, [-2, -1, 0, 1]),
    ],
)
def test_arange_of_integers(start: int, stop: int, step: int, expected: list[int]) -> None:
    value = ops.arange(start=start, stop=stop, step=step, dtype=DType.INT64)
    assert value.shape == (len(expected),)
    assert run(value).tolist() == expected


def test_arange_of_floats_r15() -> None:
    assert ops.arange(start=1, stop=1.3, step=0.1, dtype=DType.FLOAT32).shape == (4,)


def test_arange_of_sizes() -> None:
    seq = parse_dim("seq")
    assert str(ops.arange(start=0, stop=seq, dtype=DType.INT64).type) == "int64[seq]"
    assert str(ops.arange(start=parse_dim("past"), stop=parse_dim("past+seq"), dtype=DType.INT64).type) == "int64[seq]"
    half = ops.arange(start=0, stop=seq, step=2, dtype=DType.INT64)
    assert run(half, seq=5).tolist() == [0, 2, 4]
    assert run(half, seq=4).tolist() == [0, 2]
    down = ops.arange(start=seq - 1, stop=-1, step=-1, dtype=DType.INT64)
    assert run(down, seq=3).tolist() == [2, 1, 0]
    rest = ops.arange(start=2, stop=seq, dtype=DType.INT64)
    assert run(rest, seq=1).tolist() == []
    assert run(rest, seq=4).tolist() == [2, 3]


@pytest.mark.parametrize("step", [0, 0.0, parse_dim("n")])
def test_arange_refuses_other_steps(step: float) -> None:
    with pytest.raises(TypeInferenceError, match="step"):
        ops.arange(start=0, stop=3, step=step, dtype=DType.INT64)


def test_arange_refuses_floats_for_integers() -> None:
    with pytest.raises(TypeInferenceError, match="not an integer"):
        ops.arange(start=0, stop=2.5, dtype=DType.INT64)


def test_eye() -> None:
    assert run(ops.eye(rows=2, columns=3, offset=1, dtype=DType.INT32)).tolist() == [[0, 1, 0], [0, 0, 1]]
    assert run(ops.eye(rows=parse_dim("n"), dtype=DType.FLOAT32), n=2).tolist() == [[1, 0], [0, 1]]


def test_constant() -> None:
    value = ops.constant(value=Constant(np.array([[1, 2]], np.int16)))
    assert str(value.type) == "int16[1, 2]"
    assert run(value).tolist() == [[1, 2]]
