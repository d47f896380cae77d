"""Python's slice rules on symbolic sizes."""

from __future__ import annotations

from dataclasses import dataclass

from kxchange.constraints import require_at_least
from kxchange.dims import Call, Dim, compare_ge, dim_max, dim_min
from kxchange.errors import TypeInferenceError

OPEN_END = 2**31 - 1
"""Int limits from here on mean "to the end": frameworks write their largest int32 or int64 for it."""


def slice_length(size: Dim, start: Dim | None, stop: Dim | None, step: int = 1) -> tuple[Dim, Dim, Dim]:
    """Resolve ``start:stop:step`` on an axis: `(start, stop, length)` with no negative index left to interpret.

    Ints clamp as in Python. Where clamping could only give an empty slice, or a symbolic limit could exceed the axis,
    the readable form is kept and a constraint is recorded: ``x[1:]`` has ``seq-1`` elements and needs ``seq >= 1``;
    ``x[:20]`` has ``min(seq, 20)``. With a negative step, `stop` is exclusive and -1 stands for "before the first".

    Raises:
        TypeInferenceError: The step is 0, or a symbolic limit is outside the axis for every size.
    """
    if step == 0:
        raise TypeInferenceError("a slice cannot have step 0.")
    if not isinstance(start, int | None) or not isinstance(stop, int | None) or not isinstance(size, int):
        return _symbolic(size, start, stop, step)
    first, last, _ = slice(start, stop, step).indices(size)
    return first, last, len(range(first, last, step))


def _symbolic(size: Dim, start: Dim | None, stop: Dim | None, step: int) -> tuple[Dim, Dim, Dim]:
    reason = f"slice {_show(start)}:{_show(stop)}{f':{step}' if step != 1 else ''} of an axis of size {size}"
    forward = step > 0
    axis = _Axis(size, *((0, size) if forward else (-1, size - 1)), reason)
    first = (axis.lowest if forward else axis.highest) if start is None else axis.resolve(start, cuts_low=forward)
    last = (axis.highest if forward else axis.lowest) if stop is None else axis.resolve(stop, cuts_low=not forward)
    gap = _distance(first, last) if forward else _distance(last, first)
    if compare_ge(0, gap, {}):
        return 0, 0, 0
    require_at_least(gap, 0, reason)
    return first, last, -(-gap // abs(step))


@dataclass(frozen=True, slots=True)
class _Axis:
    """The axis being sliced and the positions that a limit may take on it."""

    size: Dim
    lowest: Dim
    highest: Dim
    reason: str

    def resolve(self, index: Dim, *, cuts_low: bool) -> Dim:
        """Position of an index.

        Clamping at one end of the axis shortens the slice (the low end if `cuts_low`), at the other it empties it;
        the latter is left to the caller's condition that the length is not negative.
        """
        if isinstance(index, int):
            return self._resolve_int(index, cuts_low)
        if not compare_ge(0, index, {}):
            require_at_least(index, 0, self.reason)
            if cuts_low:
                return index
            return self.highest if compare_ge(index, self.highest, {}) else self._required(index, self.highest, index)
        require_at_least(-1, index, self.reason)
        position = self.size + index
        if not cuts_low:
            return position
        return self.lowest if compare_ge(self.lowest, position, {}) else self._required(position, position, self.lowest)

    def _required(self, position: Dim, larger: Dim, smaller: Dim) -> Dim:
        require_at_least(larger, smaller, self.reason)
        return position

    def _resolve_int(self, index: int, cuts_low: bool) -> Dim:
        if abs(index) >= OPEN_END:
            return self.highest if index > 0 else self.lowest
        position = index if index >= 0 else self.size + index
        if isinstance(position, int) and isinstance(self.size, int):
            return dim_max(self.lowest, dim_min(self.highest, position))
        if cuts_low != (index < 0):
            return position
        room = position - self.lowest if cuts_low else self.highest - position
        if compare_ge(room, 0, {}):
            return position
        if compare_ge(room, self.size - 1, {}):  # only an empty axis would clamp
            return self._required(position, room, 0)
        return dim_max(position, self.lowest) if cuts_low else dim_min(position, self.highest)


def _distance(low: Dim, high: Dim) -> Dim:
    """``high - low`` with an outer `max` of the one and `min` of the other distributed: ``min(seq-5, 15)``."""
    return dim_min(*(upper - lower for upper in _arms(high, "min") for lower in _arms(low, "max")))


def _arms(dim: Dim, kind: str) -> tuple[Dim, ...]:
    atom = None if isinstance(dim, int) else dim.lone_atom()
    return atom.operands if isinstance(atom, Call) and atom.kind == kind else (dim,)


def _show(limit: Dim | None) -> str:
    return "" if limit is None else str(limit)
