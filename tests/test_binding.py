"""Sizes of actual inputs, bound to a model's dims."""

from __future__ import annotations

from typing import Any

import pytest

from kxchange.binding import bind_dims, check_constraints
from kxchange.dims import symbol
from kxchange.errors import InputError
from kxchange.shapes import Constraint

B, S, P, K = map(symbol, ("batch", "seq", "past", "k"))
CACHED = [("ids", (B, S)), ("cache", (B, 12, P, 64)), ("mask", (B, P + S))]


def test_symbols_are_bound_and_expressions_checked() -> None:
    assert bind_dims(CACHED, [(2, 4), (2, 12, 3, 64), (2, 7)]) == {"batch": 2, "seq": 4, "past": 3}
    assert bind_dims([], []) == {}
    assert bind_dims([("x", ())], [()]) == {}


def test_order_of_inputs_does_not_matter() -> None:
    assert bind_dims([CACHED[2], *CACHED[:2]], [(2, 7), (2, 4), (2, 12, 3, 64)]) == {"batch": 2, "seq": 4, "past": 3}


@pytest.mark.parametrize(
    ("expected", "actual", "message"),
    [
        (
            CACHED,
            [(2, 4), (2, 12, 3, 64), (2, 5)],
            r"input 'mask' axis 1 has size 5, but 'past\+seq' is 7 \(past=3, seq=4\)\. Pass",
        ),
        (CACHED, [(2, 4), (2, 12, 3, 64)], "takes 3 inputs"),
        ([("x", (B,)), ("y", (B,))], [(2,), (3,)], r"'y' axis 0 has size 3, but 'batch' is 2 \(input 'x' axis 0\)"),
        ([("x", (B, 3))], [(2, 4)], "'x' axis 1 has size 4, but 3 is expected"),
        ([("x", (B, 3))], [(2,)], r"'x' has rank 1 and shape \(2\), but rank 2 and shape \(batch, 3\)"),
        ([("x", (2 * S + 1,))], [(6,)], r"'x' axis 0 has size 6, but no size seq makes '2\*seq\+1' that"),
        ([("x", (S + 3,))], [(2,)], "no size seq"),
        ([("x", (S // 2,))], [(6,)], "'seq//2' cannot be solved for seq"),
        ([("x", (S * S,))], [(9,)], "cannot be solved for seq"),
        ([("x", (S + P,))], [(9,)], "cannot be solved for past, seq"),
        ([("x", (S + P,)), ("y", (P,))], [(2,), (3,)], r"no size seq makes 'past\+seq' that \(past=3\)"),
    ],
)
def test_misfits_are_named(expected: Any, actual: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bind_dims(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual", "values"),
    [
        ([("x", (2 * S + 1,))], [(7,)], {"seq": 3}),
        ([("x", (S + P,)), ("y", (P,))], [(7,), (3,)], {"past": 3, "seq": 4}),
        ([("x", (S + P,)), ("y", (P + K,)), ("z", (K,))], [(7,), (5,), (2,)], {"k": 2, "past": 3, "seq": 4}),
        ([("x", (B * S,)), ("y", (B,))], [(12,), (3,)], {"batch": 3, "seq": 4}),
        ([("x", (10 - S,))], [(7,)], {"seq": 3}),
    ],
)
def test_linear_expressions_are_solved(expected: Any, actual: Any, values: dict[str, int]) -> None:
    assert bind_dims(expected, actual) == values


def test_a_factor_of_zero_leaves_the_other_open() -> None:
    with pytest.raises(InputError):
        bind_dims([("x", (B * S,)), ("y", (B,))], [(0,), (0,)])


def test_constraints_are_checked() -> None:
    facts = [Constraint("equal", S, P + 1, "attention over the cache"), Constraint("divides", 4, S, "windows")]
    assert check_constraints(facts, {"seq": 8, "past": 7}, "model 'net'") == []
    with pytest.raises(InputError, match=r"model 'net' .* past=2, seq=4: it needs seq == past\+1 \(attention over"):
        check_constraints(facts, {"seq": 4, "past": 2}, "model 'net'")
    with pytest.raises(InputError, match=r"seq=6: it needs 4 divides seq \(windows\)"):
        check_constraints(facts, {"seq": 6, "past": 5}, "model 'net'")


def test_constraints_on_unknown_sizes_are_returned() -> None:
    found = Constraint("at_least", symbol("nonzero_0"), 1, "data")
    assert check_constraints([found], {"seq": 1}, "model") == [found]
