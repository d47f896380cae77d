"""Reshaping, joining and slicing on cases worked out by hand (trap identifiers in the names)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.dims import parse_dim
from kxchange.errors import InputError, KxchangeError, TypeInferenceError
from kxchange.graph import Graph, Value, placeholder
from kxchange.ops.slicing import python_slice
from kxchange.reference import evaluate
from kxchange.types import TensorType

ROW = np.array([1.0, 2.0, 3.0])
GRID = np.arange(6.0).reshape(2, 3)


def value(text: str) -> Value:
    return placeholder("x", TensorType.parse(text))


def constraints(result: Value) -> list[str]:
    return [str(c).split(" (")[0] for c in result.node.constraints]


def test_reshape_r13(ways, infer) -> None:
    assert ways(ops.reshape, GRID, shape=(3, -1))[0].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert infer(ops.reshape, "float32[batch, seq, 12]", shape=(parse_dim("batch"), -1, 3, 4)) == (
        "float32[batch, seq, 3, 4]"
    )
    with pytest.raises(TypeInferenceError, match="differ"):
        infer(ops.reshape, "float32[2, 3]", shape=(0, 3))
    with pytest.raises(TypeInferenceError, match="-1"):
        infer(ops.reshape, "float32[2, 3]", shape=(-1, -1))


def test_reshape_of_an_unprovable_size_is_checked_at_run_time() -> None:
    x = value("float64[n, 3]")
    y = ops.reshape(x, shape=(parse_dim("n//2"), 2, 3))
    assert constraints(y) == ["2 divides n"]
    assert evaluate(Graph((x,), (y,)), [np.zeros((4, 3))])[0].shape == (2, 2, 3)
    with pytest.raises(InputError, match="n=3"):
        evaluate(Graph((x,), (y,)), [np.zeros((3, 3))])


def test_squeeze_of_another_size_is_an_error_r14(infer) -> None:
    with pytest.raises(TypeInferenceError, match="cannot be squeezed"):
        infer(ops.squeeze, "float32[2, 3]", axis=(0,))
    assert constraints(ops.squeeze(value("float32[n, 3]"), axis=(0,))) == ["n == 1"]


def test_axes_are_checked(infer) -> None:
    assert infer(ops.expand_dims, "bool[n]", axis=(-1, 0)) == "bool[1, n, 1]"
    assert infer(ops.permute_dims, "float32[a, b, c]", axes=(-1, 0, 1)) == "float32[c, a, b]"
    for axes in [(0, 1), (0, 0, 1), (0, 1, 3)]:
        with pytest.raises(TypeInferenceError):
            infer(ops.permute_dims, "float32[a, b, c]", axes=axes)


def test_broadcast_to(ways, infer) -> None:
    assert ways(ops.broadcast_to, ROW, shape=(2, 3))[0].tolist() == [[1, 2, 3], [1, 2, 3]]
    assert infer(ops.broadcast_to, "float32[1, 4]", shape=(parse_dim("b"), parse_dim("s"), 4)) == "float32[b, s, 4]"
    with pytest.raises(TypeInferenceError, match="broadcast"):
        infer(ops.broadcast_to, "float32[3]", shape=(2, 4))


def test_depth_to_space_modes(ways) -> None:
    # Four channels of one pixel: both modes give the 2x2 block in order; with eight they group differently.
    one = np.arange(4.0).reshape(1, 4, 1, 1)
    two = np.arange(8.0).reshape(1, 8, 1, 1)
    for mode in ("DCR", "CRD"):
        for got in ways(ops.depth_to_space, one, block_size=2, mode=mode):
            assert got.tolist() == [[[[0, 1], [2, 3]]]]
    for got in ways(ops.depth_to_space, two, block_size=2, mode="DCR"):
        assert got.tolist() == [[[[0, 2], [4, 6]], [[1, 3], [5, 7]]]]
    for got in ways(ops.depth_to_space, two, block_size=2, mode="CRD"):
        assert got.tolist() == [[[[0, 1], [2, 3]], [[4, 5], [6, 7]]]]
    last = two.reshape(1, 1, 1, 8)
    for got in ways(ops.depth_to_space, last, block_size=2, mode="CRD", channel_axis=-1):
        assert got.tolist() == [[[[0, 4], [1, 5]], [[2, 6], [3, 7]]]]


def test_space_to_depth_is_the_inverse(ways, infer) -> None:
    x = np.arange(48.0).reshape(1, 12, 2, 2)
    grown = ways(ops.depth_to_space, x, block_size=2)[0]
    assert all(np.array_equal(got, x) for got in ways(ops.space_to_depth, grown, block_size=2))
    assert infer(ops.space_to_depth, "float32[b, 3, 2*h, 4]", block_size=2) == "float32[b, 12, h, 2]"
    with pytest.raises(TypeInferenceError, match="blocks"):
        infer(ops.space_to_depth, "float32[b, 3, 5, 4]", block_size=2)


def test_concat_sums_sizes(infer) -> None:
    assert infer(ops.concat, "float32[b, past]", "float32[b, 3]", "float32[b, seq]", axis=-1) == (
        "float32[b, past+seq+3]"
    )
    with pytest.raises(TypeInferenceError, match="dtypes"):
        infer(ops.concat, "float32[2]", "float64[2]", axis=0)
    with pytest.raises(TypeInferenceError, match="axis 1 differs"):
        infer(ops.concat, "float32[2, 3]", "float32[2, 4]", axis=0)
    with pytest.raises(TypeInferenceError, match="out of range"):
        infer(ops.concat, "float32[]", "float32[]", axis=0)


def test_stack_of_scalars_r21(ways) -> None:
    assert all(got.tolist() == [1.0, 2.0] for got in ways(ops.stack, 1.0, 2.0, axis=0))
    assert all(got.tolist() == [[0, 0], [1, 1], [2, 2]] for got in ways(ops.stack, GRID[0], GRID[0], axis=1))


def test_split_sizes_are_the_callers_r11_r12(infer) -> None:
    parts = ops.split(np.arange(5), sizes=(2, 2, 1), axis=0)
    assert [part.tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert infer(ops.split, "float32[2*n]", sizes=(parse_dim("n"), parse_dim("n")), axis=0) == "float32[n]"
    with pytest.raises(TypeInferenceError, match="sum"):
        infer(ops.split, "float32[5]", sizes=(2, 2), axis=0)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("constant", [0, 0, 1, 2, 3, 0, 0]),
        ("reflect", [3, 2, 1, 2, 3, 2, 1]),
        ("symmetric", [2, 1, 1, 2, 3, 3, 2]),
        ("edge", [1, 1, 1, 2, 3, 3, 3]),
        ("wrap", [2, 3, 1, 2, 3, 1, 2]),
    ],
)
def test_pad_r09(mode: str, expected: list[int]) -> None:
    assert ops.pad(ROW, padding=((2, 2),), mode=mode).tolist() == expected


@pytest.mark.parametrize(("mode", "most"), [("reflect", 2), ("symmetric", 3), ("wrap", 3)])
def test_pad_has_only_so_much_to_show_r10(mode: str, most: int, infer) -> None:
    assert infer(ops.pad, "float32[3]", padding=((most, 0),), mode=mode) == f"float32[{3 + most}]"
    with pytest.raises(TypeInferenceError, match="does not fit"):
        infer(ops.pad, "float32[3]", padding=((most + 1, 0),), mode=mode)
    padded = ops.pad(value("float32[n]"), padding=((most, 0),), mode=mode)
    assert constraints(padded) == ["n >= 3"]


def test_pad_value_must_be_one_of_the_dtype(infer) -> None:
    assert infer(ops.pad, "uint8[n]", padding=((parse_dim("n"), 1),), value=255) == "uint8[2*n+1]"
    for bad in (256, -1, 0.5, float("nan")):
        with pytest.raises(TypeInferenceError, match="uint8"):
            infer(ops.pad, "uint8[2]", padding=((0, 1),), value=bad)
    with pytest.raises(TypeInferenceError, match="negative"):
        infer(ops.pad, "float32[2]", padding=((-1, 0),))


def test_tile_and_repeat_differ(ways, infer) -> None:
    assert all(got.tolist() == [1, 2, 3, 1, 2, 3] for got in ways(ops.tile, ROW, repetitions=(2,)))
    assert all(got.tolist() == [1, 1, 2, 2, 3, 3] for got in ways(ops.repeat, ROW, repeats=2, axis=0))
    assert infer(ops.tile, "float32[n, 2]", repetitions=(parse_dim("b"), 3)) == "float32[b*n, 6]"


def sliced(x: np.ndarray[Any, Any], start: int, stop: int, step: int) -> list[float]:
    return ops.slice(x, starts=(start,), stops=(stop,), steps=(step,), axes=(0,)).tolist()


def test_slice_stop_minus_one_is_before_the_first() -> None:
    assert sliced(ROW, 2, -1, -1) == [3, 2, 1]
    assert sliced(ROW, 2, 0, -1) == [3, 2]
    assert sliced(ROW, 0, 3, 2) == [1, 3]
    assert sliced(ROW, 1, 1, -1) == []
    assert sliced(ROW[:0], -1, -1, -1) == []


def test_slice_limits_are_checked(infer) -> None:
    limits = {"starts": (1,), "stops": (parse_dim("n"),), "steps": (2,), "axes": (-1,)}
    assert infer(ops.slice, "float32[b, n]", **limits) == "float32[b, n//2]"
    for start, stop, step in [(0, 4, 1), (-1, 2, 1), (2, 1, 1), (3, 0, -1), (0, 2, -1), (0, 1, 0)]:
        with pytest.raises(TypeInferenceError):
            infer(ops.slice, "float32[3]", starts=(start,), stops=(stop,), steps=(step,), axes=(0,))


@pytest.mark.parametrize("size", [0, 1, 4, 7])
@pytest.mark.parametrize("step", [1, 2, -1, -3])
def test_python_slice_is_pythons(size: int, step: int) -> None:
    data = np.arange(size)
    for start in (None, 0, 2, -1, -3, 9, -9):
        for stop in (None, 0, 3, -1, -2, 9, -9):
            x = value(f"int64[{size}]")
            y = python_slice(x, (start, stop, step))
            (got,) = evaluate(Graph((x,), (y,)), [data])
            assert got.tolist() == data[start:stop:step].tolist(), (start, stop)
            assert y.shape == got.shape


def test_python_slice_of_symbolic_sizes() -> None:
    x = value("float64[batch, seq]")
    y = python_slice(x, None, (1, None, 1))
    assert str(y.type) == "float64[batch, seq-1]" and constraints(y) == ["seq >= 1"]
    assert python_slice(x, None, (None, None, 1)) == x
    last = python_slice(x, None, (-1, None, 1))
    assert str(last.type) == "float64[batch, 1]"
    backwards = python_slice(x, (None, None, -1))
    assert backwards.shape == x.shape
    assert str(python_slice(x, None, (None, 20, 1)).shape[1]) == "min(seq, 20)"
    seq = parse_dim("seq")
    assert str(python_slice(x, None, (seq, seq - 2, 1)).type) == "float64[batch, 0]"
    for size in (5, 30):
        data = np.arange(2.0 * size).reshape(2, size)
        for slices, result in [
            (np.s_[:, :20], python_slice(x, None, (None, 20, 1))),
            (np.s_[:, -1:], last),
            (np.s_[::-1], backwards),
            (np.s_[1:, 3::-2], python_slice(x, (1, None, 1), (3, None, -2))),
        ]:
            np.testing.assert_array_equal(evaluate(Graph((x,), (result,)), [data])[0], data[slices])


def test_dynamic_slice_clamps(ways) -> None:
    x = np.arange(5)
    assert ways(ops.dynamic_slice, x, -4, sizes=(2,))[0].tolist() == [0, 1]
    assert ways(ops.dynamic_slice, x, np.uint8(200), sizes=(2,))[0].tolist() == [3, 4]
    assert ways(ops.dynamic_update_slice, x, [9, 8], 4)[0].tolist() == [0, 1, 2, 9, 8]
    with pytest.raises(TypeInferenceError, match="larger"):
        ops.dynamic_slice(value("float32[2]"), value("int32[]"), sizes=(3,))


def test_roll_and_flip(ways, infer) -> None:
    assert all(got.tolist() == [3, 1, 2] for got in ways(ops.roll, ROW, shifts=(1,), axis=(0,)))
    assert all(got.tolist() == [2, 3, 1] for got in ways(ops.roll, ROW, shifts=(-4,), axis=(0,)))
    assert ways(ops.flip, GRID, axis=(1,))[0].tolist() == [[2, 1, 0], [5, 4, 3]]
    assert infer(ops.roll, "float32[n]", shifts=(3,), axis=(0,)) == "float32[n]"


def test_triangles(ways) -> None:
    x = np.array([[1, 2, 3], [4, 5, np.nan]])
    for got in ways(ops.tril, x, k=0):
        assert got.tolist() == [[1, 0, 0], [4, 5, 0]]
    for got in ways(ops.triu, x, k=-1):
        np.testing.assert_array_equal(got, [[1, 2, 3], [4, 5, np.nan]])
    for got in ways(ops.triu, x, k=2):
        assert got.tolist() == [[0, 0, 3], [0, 0, 0]]


def test_a_run_of_the_wrong_size_fails() -> None:
    x = value("float64[n]")
    y = ops.split(x, sizes=(2, 3), axis=0)[1]
    assert evaluate(Graph((x,), (y,)), [np.arange(5.0)])[0].tolist() == [2, 3, 4]
    with pytest.raises(KxchangeError, match="n=6"):
        evaluate(Graph((x,), (y,)), [np.arange(6.0)])
