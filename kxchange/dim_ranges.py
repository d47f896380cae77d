"""What is known of a dim from the ranges of its symbols: interval arithmetic and a few provable orders."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from kxchange.dim_algebra import Dim, DimExpr, dim_max, dim_min, symbol
from kxchange.dim_polynomial import Call, Monomial
from kxchange.dim_values import substitute, symbols

Range = tuple[int | None, int | None]
Ranges = Mapping[str, Range]
DEFAULT_RANGE: Range = (0, None)
_PROOF_STEPS = 64


def bounds(dim: Dim, ranges: Ranges) -> Range:
    """Least and greatest value (None: unbounded), by interval arithmetic; never too narrow, perhaps too wide.

    Args:
        dim: An int or an expression.
        ranges: Least and greatest value per symbol; a symbol that is missing is at least 0.
    """
    if isinstance(dim, int):
        return dim, dim
    low: int | None = dim.constant
    high: int | None = dim.constant
    for monomial, coefficient in dim.terms:
        least, greatest = _monomial_bounds(monomial, ranges)
        if coefficient < 0:
            least, greatest = greatest, least
        low = None if low is None or least is None else low + coefficient * least
        high = None if high is None or greatest is None else high + coefficient * greatest
    return low, high


def is_nonnegative(dim: Dim, ranges: Ranges) -> bool:
    """Whether `dim >= 0` can be proven."""
    if isinstance(dim, int):
        return dim >= 0
    low = bounds(dim, ranges)[0]
    if low is not None and low >= 0:
        return True
    # With every finite lower bound moved to 0, more products have the sign of their coefficient: b*s-s is (b-1)*s.
    lows = {name: low for name in symbols(dim) if (low := ranges.get(name, DEFAULT_RANGE)[0])}
    shifted: dict[str, Range] = dict(ranges)
    for name, low in lows.items():
        high = ranges[name][1]
        shifted[name] = (0, None if high is None else high - low)
    return _prove(substitute(dim, {name: symbol(name) + low for name, low in lows.items()}), shifted, [_PROOF_STEPS])


def compare_ge(left: Dim, right: Dim, ranges: Ranges) -> bool:
    """Whether ``left >= right`` can be proven; False means unknown, not less."""
    return is_nonnegative(left - right, ranges)


def simplify(dim: Dim, ranges: Ranges) -> Dim:
    """Drop the arms of `max` and `min` that the ranges decide."""

    def keep_largest(*arms: Dim) -> Dim:
        return dim_max(*_undominated(arms, ranges, largest=True))

    def keep_smallest(*arms: Dim) -> Dim:
        return dim_min(*_undominated(arms, ranges, largest=False))

    return substitute(dim, {}, maximum=keep_largest, minimum=keep_smallest)


def _undominated(arms: tuple[Dim, ...], ranges: Ranges, *, largest: bool) -> list[Dim]:
    kept: list[Dim] = []
    for arm in arms:
        if any(_beats(other, arm, ranges, largest) for other in kept):
            continue
        kept = [other for other in kept if not _beats(arm, other, ranges, largest)]
        kept.append(arm)
    return kept


def _beats(winner: Dim, loser: Dim, ranges: Ranges, largest: bool) -> bool:
    return compare_ge(winner, loser, ranges) if largest else compare_ge(loser, winner, ranges)


def _monomial_bounds(monomial: Monomial, ranges: Ranges) -> Range:
    result: Range = (1, 1)
    for atom, exponent in monomial:
        interval = ranges.get(atom, DEFAULT_RANGE) if isinstance(atom, str) else _call_bounds(atom, ranges)
        result = _multiply(result, _power(interval, exponent))
    return result


def _power(interval: Range, exponent: int) -> Range:
    result: Range = interval
    for _ in range(exponent - 1):
        result = _multiply(result, interval)
    if exponent % 2 == 0:
        low, high = result
        return (max(0, low) if low is not None else 0), high
    return result


def _multiply(left: Range, right: Range) -> Range:
    lows = [(left[0], -1), (left[1], 1)]
    highs = [(right[0], -1), (right[1], 1)]
    corners = [_corner(a, b) for a, b in product(lows, highs)]
    least, greatest = min(corners), max(corners)
    return None if least[0] < 0 else least[1], None if greatest[0] > 0 else greatest[1]


def _corner(left: tuple[int | None, int], right: tuple[int | None, int]) -> tuple[int, int]:
    """Product of two interval ends as (sign of infinity, finite value); an end that is None is infinite."""
    (a, a_side), (b, b_side) = left, right
    if a is not None and b is not None:
        return 0, a * b
    if a == 0 or b == 0:
        return 0, 0
    a_sign = a_side if a is None else (1 if a > 0 else -1)
    b_sign = b_side if b is None else (1 if b > 0 else -1)
    return a_sign * b_sign, 0


def _call_bounds(call: Call, ranges: Ranges) -> Range:
    operands = [bounds(operand, ranges) for operand in call.operands]
    if call.kind == "max":
        lows = [low for low, _ in operands if low is not None]
        highs = [high for _, high in operands if high is not None]
        return max(lows, default=None), max(highs) if len(highs) == len(operands) else None
    if call.kind == "min":
        lows = [low for low, _ in operands if low is not None]
        highs = [high for _, high in operands if high is not None]
        return min(lows) if len(lows) == len(operands) else None, min(highs, default=None)
    return (_floordiv_bounds if call.kind == "floordiv" else _mod_bounds)(operands[0], operands[1])


def _floordiv_bounds(numerator: Range, denominator: Range) -> Range:
    low, high = numerator
    least = max(denominator[0], 1) if denominator[0] is not None and denominator[0] >= 0 else None
    if least is None:
        return None, None
    greatest = denominator[1]
    if low is None:
        new_low = None
    elif low < 0:
        new_low = low // least
    else:
        new_low = 0 if greatest is None else low // greatest if greatest else None
    if high is None:
        new_high = None
    elif high >= 0:
        new_high = high // least
    else:
        new_high = -1 if greatest is None else high // greatest if greatest else None
    return new_low, new_high


def _mod_bounds(numerator: Range, denominator: Range) -> Range:
    if denominator[0] is None or denominator[0] < 0:
        return None, None
    highs = [high for high in (None if denominator[1] is None else denominator[1] - 1,) if high is not None]
    if numerator[0] is not None and numerator[0] >= 0 and numerator[1] is not None:
        highs.append(numerator[1])
    return 0, min(highs, default=None)


def _prove(dim: Dim, ranges: Ranges, budget: list[int]) -> bool:
    """Prove ``dim >= 0`` by intervals, then by replacing one call at a time by something smaller without it."""
    if isinstance(dim, int):
        return dim >= 0
    low = bounds(dim, ranges)[0]
    if low is not None and low >= 0:
        return True
    if budget[0] <= 0:
        return False
    budget[0] -= 1
    for monomial, coefficient in dim.terms:
        atom = monomial[0][0]
        if len(monomial) == 1 and monomial[0][1] == 1 and isinstance(atom, Call) and atom.kind != "mod":
            others = dim - DimExpr.of([(monomial, coefficient)], 0)
            return _prove_without(others, coefficient, atom, ranges, budget)
    return False


def _prove_without(others: Dim, coefficient: int, call: Call, ranges: Ranges, budget: list[int]) -> bool:
    if call.kind == "floordiv":
        numerator, divisor = call.operands
        if not isinstance(divisor, int):
            return False
        # n-q+1 <= q*(n//q) <= n
        lowest = numerator - (divisor - 1) if coefficient > 0 else numerator
        return _prove(others * divisor + lowest * coefficient, ranges, budget)
    arms = (_prove(others + arm * coefficient, ranges, budget) for arm in call.operands)
    return any(arms) if (call.kind == "max") == (coefficient > 0) else all(arms)
