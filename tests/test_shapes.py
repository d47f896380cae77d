"""Shape arithmetic, against NumPy, Python's slices and counted windows."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kxchange.dims import dim_min, evaluate, symbol
from kxchange.errors import DimError, TypeInferenceError
from kxchange.shapes import (
    Constraint,
    broadcast_shapes,
    collecting,
    conv_transpose_output,
    normalize_axes,
    normalize_axis,
    product,
    require_at_least,
    require_divides,
    require_equal,
    reshape_shape,
    slice_length,
    window_output,
)

B, S, H, W, P = map(symbol, ("batch", "seq", "h", "w", "past"))


def recorded(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, list[str]]:
    with collecting() as found:
        result = function(*args, **kwargs)
    return result, [str(c).partition(" (")[0] for c in found]


@pytest.mark.parametrize(
    ("constraint", "text", "good", "bad"),
    [
        (Constraint("equal", S, P + 1, "cache"), "seq == past+1 (cache)", {"seq": 3, "past": 2}, {"seq": 3, "past": 3}),
        (Constraint("at_least", S, 4), "seq >= 4", {"seq": 4}, {"seq": 3}),
        (Constraint("divides", 4, S), "4 divides seq", {"seq": 8}, {"seq": 6}),
        (Constraint("divides", P, S), "past divides seq", {"seq": 0, "past": 0}, {"seq": 1, "past": 0}),
    ],
)
def test_constraint(constraint: Constraint, text: str, good: dict[str, int], bad: dict[str, int]) -> None:
    assert str(constraint) == text
    assert constraint.holds(good)
    assert not constraint.holds(bad)
    assert Constraint.from_json(constraint.to_json()) == constraint
    assert constraint.symbols == set(good)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"kind": "equal", "left": "a", "right": "b"},
        {"kind": "less", "left": "a", "right": "b", "reason": ""},
        {"kind": "equal", "left": "a(", "right": "b", "reason": ""},
        {"kind": "equal", "left": 3, "right": "b", "reason": ""},
        {"kind": "equal", "left": "a", "right": "b", "reason": "", "more": ""},
    ],
)
def test_constraint_from_json_refuses(record: dict[str, Any]) -> None:
    with pytest.raises(DimError):
        Constraint.from_json(record)


def test_collectors_nest_and_are_per_thread() -> None:
    with collecting() as outer:
        require_equal(S, 4, "outer")
        with collecting() as inner:
            require_equal(S, 5, "inner")
            worker = Thread(target=require_equal, args=(S, 6, "other thread"))
            worker.start()
            worker.join()
        require_equal(S, 4, "again")
    assert [str(c) for c in outer] == ["seq == 4 (outer)"]
    assert [str(c) for c in inner] == ["seq == 5 (inner)"]
    assert require_equal(S, 4, "nobody listens") == 4


def test_collector_is_left_after_an_error() -> None:
    with collecting() as outer:
        with pytest.raises(TypeInferenceError), collecting():
            require_equal(2, 3, "x")
        require_equal(S, 4, "kept")
    assert len(outer) == 1


def test_require_equal() -> None:
    assert recorded(require_equal, 2 * S, S + S, "r") == (2 * S, [])
    assert recorded(require_equal, 3, S, "r") == (3, ["seq == 3"])
    assert recorded(require_equal, S, B, "r") == (S, ["seq == batch"])


@pytest.mark.parametrize(("a", "b"), [(3, 4), (S, S + 1), (S, -1), (-2, S), (2 * S, 2 * B + 1), (S + 5, 3), (S % 4, 4)])
def test_require_equal_refuses_what_never_holds(a: Any, b: Any) -> None:
    with pytest.raises(TypeInferenceError, match="why"):
        require_equal(a, b, "why")


@pytest.mark.parametrize(
    ("a", "b", "facts"),
    [
        (S, 0, []),
        (S, 4, ["seq >= 4"]),
        (S + 2, 4, ["seq >= 2"]),
        ((H - 1) // 2 + 1, 1, ["h >= 1"]),
        ((H - 1) // 32 + 1, 3, ["h >= 65"]),
        (3 * S, 4, ["seq >= 2"]),
        (dim_min(S, 20), 5, ["seq >= 5"]),
        (64, S, ["64 >= seq"]),
        (S, P + 1, ["seq >= past+1"]),
        (H, 4 * (H // 4), []),
    ],
)
def test_require_at_least_records_the_simplest_form(a: Any, b: Any, facts: list[str]) -> None:
    assert recorded(require_at_least, a, b, "r") == (a, facts)


def test_require_at_least_refuses() -> None:
    with pytest.raises(TypeInferenceError, match="3 is less than 4"):
        require_at_least(3, 4, "r")
    with pytest.raises(TypeInferenceError, match="for every size"):
        require_at_least(S, S * 2 + 1, "r")


def test_require_divides() -> None:
    assert recorded(require_divides, 4, 8 * S, "r") == (2 * S, [])
    assert recorded(require_divides, 4, S, "r") == (S // 4, ["4 divides seq"])
    for divisor, number in [(4, 6), (0, S), (2, 2 * S + 1)]:
        with pytest.raises(TypeInferenceError):
            require_divides(divisor, number, "r")


@pytest.mark.parametrize(
    ("shapes", "result", "facts"),
    [
        (((2, 3), (2, 3)), (2, 3), []),
        (((B, 1, S), (4, 1)), (B, 4, S), []),
        (((), (S,)), (S,), []),
        (((B, S), (B, 1), (S,)), (B, S), []),
        (((S,), (4,)), (4,), ["seq == 4"]),
        (((S,), (P,)), (S,), ["seq == past"]),
        (((0,), (1,)), (0,), []),
        ((), (), []),
    ],
)
def test_broadcast(shapes: Any, result: Any, facts: list[str]) -> None:
    assert recorded(broadcast_shapes, *shapes) == (result, facts)


@given(st.lists(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4), min_size=1, max_size=3))
def test_broadcast_is_numpys(shapes: list[list[int]]) -> None:
    try:
        expected = np.broadcast_shapes(*map(tuple, shapes))
    except ValueError:
        with pytest.raises(TypeInferenceError, match="broadcast"):
            broadcast_shapes(*shapes)
    else:
        assert broadcast_shapes(*shapes) == expected


def test_axes() -> None:
    assert [normalize_axis(axis, 3) for axis in (0, 2, -1, -3)] == [0, 2, 2, 0]
    assert normalize_axes([-1, 0], 3) == (2, 0)
    for axis in (3, -4):
        with pytest.raises(TypeInferenceError, match=f"axis {axis} .*rank 3"):
            normalize_axis(axis, 3)
    with pytest.raises(TypeInferenceError, match="twice"):
        normalize_axes((0, -3), 3)
    assert product([]) == 1
    assert product([2, S, 3]) == 6 * S


@pytest.mark.parametrize(
    ("shape", "requested", "result", "facts"),
    [
        ((B, S, 8), (2 * B, -1, 4), (2 * B, S, 4), []),
        ((B, S, 768), (B, S, 12, 64), (B, S, 12, 64), []),
        ((B, S, 768), (B, -1, 12, 64), (B, S, 12, 64), []),
        ((B, S), (-1,), (B * S,), []),
        ((B, S), (-1, 3), (B, 3, "unused"), ["3 divides batch*seq"]),
        ((B, H, W, 16), (B, H // 4, 4, W // 4, 4, 16), None, ["4 divides h", "4 divides w"]),
        ((B, S, 8), (B, 4, W), (B, 4, W), ["2*seq == w"]),
        ((B, 6), (B, 2, 3), (B, 2, 3), []),
        ((0, 3), (3, 0), (3, 0), []),
        ((2, 3), (-1, 2), (3, 2), []),
        ((), (), (), []),
        ((), (1, -1), (1, 1), []),
    ],
)
def test_reshape(shape: Any, requested: Any, result: Any, facts: list[str]) -> None:
    found = recorded(reshape_shape, shape, requested)
    assert found[1] == facts
    if result is not None and "unused" not in result:
        assert found[0] == result


def test_reshape_takes_explicit_sizes_from_the_request() -> None:
    # torch.export gives (8*(s//2))//s here, which is 3 at s = 9.
    result = reshape_shape((B, S, 8), (2 * B, -1, 4))
    assert evaluate(result[2], {"seq": 9, "batch": 1}) == 4
    assert reshape_shape((B, S), (-1, 3))[0] == (B * S) // 3


@pytest.mark.parametrize(
    ("shape", "requested"),
    [((2, 3), (4,)), ((6, 4), (-1, 5)), ((2, 3), (-1, -1)), ((2, 3), (-2, 3)), ((0, 3), (0, -1)), ((2, S), (S, 3))],
)
def test_reshape_refuses(shape: Any, requested: Any) -> None:
    with pytest.raises(TypeInferenceError, match="reshape"):
        reshape_shape(shape, requested)


def count_windows(size: int, kernel: int, stride: int, dilation: int, before: int, after: int, ceil: bool) -> int:
    """Slide the window, as PyTorch documents it."""
    reach, padded = dilation * (kernel - 1) + 1, size + before + after
    count, start = 0, 0
    while start + reach <= padded:
        count, start = count + 1, start + stride
    # One more that starts inside and overhangs by less than a stride, if something is left uncovered.
    covered = count > 0 and start - stride + reach >= padded
    if ceil and not covered and start < size + before and start + reach - padded < stride:
        count += 1
    return count


windows = st.tuples(
    st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(0, 2), st.booleans()
)


@given(st.integers(1, 30), windows)
@settings(max_examples=300)
def test_window_output_counts_windows(size: int, window: Any) -> None:
    kernel, stride, dilation, before, after, ceil = window
    assume(max(before, after) <= dilation * (kernel - 1))
    expected = count_windows(size, *window)
    if expected == 0:
        with pytest.raises(TypeInferenceError, match="window"):
            window_output(size, *window)
        return
    assert window_output(size, *window) == expected
    with collecting() as found:
        symbolic = window_output(H, *window)
    assert evaluate(symbolic, {"h": size}) == expected
    assert all(c.holds({"h": size}) for c in found)


def test_resnet_needs_one_fact() -> None:
    def stem(size: Any) -> Any:
        for kernel in (7, 3, 3, 3, 3):
            size = window_output(size, kernel, 2, 1, kernel // 2, kernel // 2)
            size = window_output(size, 3, 1, 1, 1, 1)
        return size

    assert recorded(stem, H) == ((H - 1) // 32 + 1, ["h >= 1"])


def test_window_output_small_cases() -> None:
    # torch.nn.functional.max_pool1d on sizes 5 and 2 (kernel 3, stride 2) and 1 (kernel 2, stride 2), ceil_mode on.
    assert window_output(5, 3, 2, 1, 0, 0, True) == 2
    assert window_output(6, 3, 2, 1, 0, 0, True) == 3
    assert window_output(2, 3, 2, 1, 0, 0, True) == 1
    assert window_output(1, 2, 2, 1, 0, 0, True) == 1
    with pytest.raises(TypeInferenceError, match="2 is less than 3"):
        window_output(2, 3, 1, 1, 0, 0)
    with pytest.raises(TypeInferenceError, match="at least 1"):
        window_output(8, 3, 0, 1, 0, 0)


def test_conv_transpose_output() -> None:
    # torch.nn.ConvTranspose2d documentation: 12 -> 6 by kernel 3, stride 2, padding 1; back needs output_padding 1.
    assert conv_transpose_output(6, 3, 2, 1, 1, 1, 1) == 12
    assert conv_transpose_output(6, 3, 2, 1, 1, 1, 0) == 11
    assert recorded(conv_transpose_output, H, 2, 2, 1, 0, 0, 0) == (2 * H, ["h >= 1"])
    with pytest.raises(TypeInferenceError):
        conv_transpose_output(1, 1, 1, 1, 1, 1, 0)


@pytest.mark.parametrize(
    ("size", "start", "stop", "step", "result", "facts"),
    [
        (S, None, -1, 1, (0, S - 1, S - 1), ["seq >= 1"]),
        (S, 1, None, 1, (1, S, S - 1), ["seq >= 1"]),
        (S, 1, -1, 1, (1, S - 1, S - 2), ["seq >= 2"]),
        (S, -1, None, 1, (S - 1, S, 1), ["seq >= 1"]),
        (S, None, 1, 1, (0, 1, 1), ["seq >= 1"]),
        (S, None, 20, 1, (0, dim_min(S, 20), dim_min(S, 20)), []),
        (S, None, None, 1, (0, S, S), []),
        (S, 0, 2**63 - 1, 1, (0, S, S), []),
        (S, None, None, -1, (S - 1, -1, S), []),
        (S, 5, 3, 1, (0, 0, 0), []),
        (S, None, None, 2, (0, S, (S + 1) // 2), []),
        (1024, P, P + S, 1, (P, P + S, S), ["1024 >= past+seq"]),
        (P + S, P, None, 1, (P, P + S, S), []),
        (P + S, None, P, 1, (0, P, P), []),
        (64, None, S, 1, (0, S, S), ["64 >= seq"]),
        (10, 2, -3, 2, (2, 7, 3), []),
        (4, None, S + 5, 1, (0, 4, 4), []),
        (4, S + 5, None, 1, (0, 0, 0), []),
        (S, -S - 2, None, 1, (0, S, S), []),
        (S, -P, None, 1, (S - P, S, P), ["past >= 1", "seq >= past"]),
    ],
)
def test_slices(size: Any, start: Any, stop: Any, step: int, result: Any, facts: list[str]) -> None:
    assert recorded(slice_length, size, start, stop, step) == (result, facts)


limits = st.none() | st.integers(-6, 6) | st.just(2**63 - 1) | st.just(-(2**63))


@given(limits, limits, st.sampled_from([1, 2, 3, -1, -2, -3]))
@settings(max_examples=400)
def test_slices_are_pythons_for_every_size_that_the_facts_allow(start: Any, stop: Any, step: int) -> None:
    with collecting() as found:
        first, last, length = slice_length(S, start, stop, step)
    for size in range(12):
        values = {"seq": size}
        expected = range(size)[start:stop:step]
        if not all(c.holds(values) for c in found):
            assert len(expected) == 0  # only slices with nothing in them may be excluded
            continue
        assert evaluate(length, values) == len(expected)
        indices = range(evaluate(first, values), evaluate(last, values), step)
        assert [range(size)[i] for i in indices] == list(expected)
        assert len(range(size)) == size and all(0 <= i < size for i in indices)


@given(st.integers(0, 8), limits, limits, st.sampled_from([1, 2, -1, -2]))
def test_slices_of_ints_are_pythons(size: int, start: Any, stop: Any, step: int) -> None:
    first, last, length = slice_length(size, start, stop, step)
    assert list(range(first, last, step)) == list(range(size)[start:stop:step])
    assert length == len(range(size)[start:stop:step])


def test_slice_refuses() -> None:
    with pytest.raises(TypeInferenceError, match="step 0"):
        slice_length(S, None, None, 0)
