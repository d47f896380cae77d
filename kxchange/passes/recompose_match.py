"""Matching patterns against terms.

A pattern is a nested tuple: a head, patterns of its operands, then of its data; what is left out of the data may be
anything. ``"?x"`` binds an operand (twice the same name: the same term), ``"#epsilon"`` a number, ``"@axes"`` data,
``"*rest"`` the operands of a sum or product that nothing else took. A float stands for itself, as closely as the
element type writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from kxchange.passes.recompose_terms import Term, tolerance
from kxchange.types import DType

Pattern = str | float | tuple[Any, ...]
UNORDERED = frozenset({"add", "mul", "maximum", "minimum"})
"""Heads whose operands stand in any order."""
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Bindings:
    """What the names of a pattern stand for.

    Attributes:
        names: Sigil and name -> a term, a number, data, or a tuple of terms.
        slack: Largest relative distance between a constant and what the pattern says.
    """

    names: dict[str, Any] = field(default_factory=dict[str, Any])
    slack: float = 0.0

    def bind(self, name: str, found: Any) -> Bindings | None:
        """With one more name; None if it already stands for something else."""
        if name not in self.names:
            return Bindings({**self.names, name: found}, self.slack)
        return self if self.names[name] is found or self.names[name] == found else None

    def near(self, number: object, wanted: float, dtype: DType) -> Bindings | None:
        """With the distance of a number from a constant of the pattern noted; None if it is another number."""
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            return None
        if number == wanted:
            return self
        distance = abs(number - wanted) / abs(wanted) if wanted else float("inf")
        return Bindings(self.names, max(self.slack, distance)) if distance <= tolerance(dtype) else None


def matches(pattern: Pattern, term: Term, bound: Bindings) -> Iterator[Bindings]:
    """Every way in which `term` is of the form `pattern`."""
    if isinstance(pattern, tuple):
        yield from _matches_head(pattern, term, bound)
        return
    found = _bind_operand(pattern, term, bound)
    if found is not None:
        yield found


def _bind_operand(pattern: str | float, term: Term, bound: Bindings) -> Bindings | None:
    if isinstance(pattern, str) and pattern[0] == "?":
        return bound.bind(pattern, term)
    return _bind_data(pattern, term.data[0], term.dtype, bound) if term.head == "const" else None


def _bind_data(pattern: str | float, data: Any, dtype: DType, bound: Bindings) -> Bindings | None:
    if isinstance(pattern, str):
        return bound.bind(pattern, data)
    return bound.near(data, pattern, dtype)


def _matches_head(pattern: tuple[Any, ...], term: Term, bound: Bindings) -> Iterator[Bindings]:
    head = cast("str", pattern[0])
    parts: tuple[Any, ...] = pattern[1:]
    if head == "any":
        for alternative in parts:
            yield from matches(alternative, term, bound)
    elif head == "scaled" and term.head != "scaled":
        # A factor of 1 is not written.
        factor = _bind_data(parts[1], 1.0, term.dtype, bound)
        if factor is not None:
            yield from matches(parts[0], term, factor)
    elif term.head == head and head in UNORDERED:
        yield from _matches_unordered(parts, term.args, bound)
    elif term.head == head and len(parts) >= len(term.args):
        yield from _matches_ordered(parts, term, bound)


def _matches_ordered(parts: Sequence[Any], term: Term, bound: Bindings) -> Iterator[Bindings]:
    count = len(term.args)
    states = [bound]
    for part, arg in zip(parts[:count], term.args, strict=True):
        states = [after for before in states for after in matches(part, arg, before)]
    for state in states:
        settled: Bindings | None = state
        for part, data in zip(parts[count:], term.data, strict=False):
            settled = None if settled is None else _bind_data(part, data, term.dtype, settled)
        if settled is not None:
            yield settled


def _matches_unordered(parts: Sequence[Any], args: Sequence[Term], bound: Bindings) -> Iterator[Bindings]:
    open_ended = bool(parts) and isinstance(parts[-1], str) and parts[-1][0] == "*"
    fixed = parts[:-1] if open_ended else parts
    if len(fixed) > len(args) or (len(fixed) < len(args) and not open_ended):
        return
    if not fixed:
        final = bound.bind(parts[-1], tuple(args)) if open_ended else bound
        if final is not None:
            yield final
        return
    for position, arg in enumerate(args):
        for after in matches(fixed[0], arg, bound):
            rest = (*args[:position], *args[position + 1 :])
            yield from _matches_unordered(parts[1:], rest, after)


def needs(pattern: Pattern) -> frozenset[str]:
    """What `kinds` of a term must hold for the pattern to match it: most patterns are ruled out by this alone."""
    if not isinstance(pattern, tuple):
        return NOTHING
    head, parts = cast("str", pattern[0]), pattern[1:]
    found: set[str] = set()
    for part in parts:
        if isinstance(part, float) and head in UNORDERED:
            found.add("const")
        found |= _needs_of(part)
    return frozenset(found)


def _needs_of(part: Any) -> frozenset[str]:
    """What an operand needs, and what its own operands need."""
    # A factor of 1 is not written: what stands below `scaled` may stand in its place.
    if not isinstance(part, tuple) or part[0] == "scaled":
        return NOTHING
    head, parts = cast("str", part[0]), cast("tuple[Any, ...]", part[1:])
    if head == "any":
        first, *others = (_needs_of(alternative) for alternative in parts)
        return first.intersection(*others)
    below = {f"{head}/{need}" for need in needs(cast("Pattern", part)) if "/" not in need}
    return frozenset({head, *below})
