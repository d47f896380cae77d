"""The composite ops that `recompose` looks for: patterns of each, and how it is put together again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from kxchange.graph import Graph, Value, emitting, placeholder
from kxchange.passes.recompose_found import Found
from kxchange.passes.recompose_match import UNORDERED, Pattern, needs
from kxchange.passes.recompose_normal import Normal
from kxchange.passes.recompose_terms import REDUCTIONS, Term
from kxchange.spec import REGISTRY, as_tuple
from kxchange.types import TensorType

Builder = Callable[[Found], Value]
ODD = 0.013671875
"""A number that no decomposition writes by itself: it marks where an attribute goes."""


@dataclass(frozen=True, slots=True)
class Composite:
    """One op to recover.

    Attributes:
        op: Its name.
        patterns: What it looks like when dissolved.
        build: Puts it together; raises `Unrealizable` or a type error where the match does not fit the op.
    """

    op: str
    patterns: tuple[Pattern, ...]
    build: Builder


def derived(op: str, operands: Mapping[str, str], **attrs: object) -> Pattern:
    """The pattern that the op's own decomposition is.

    Args:
        op: Name of the op.
        operands: Type of each operand that is present, by name; it becomes ``?name``.
        attrs: Attributes; a float becomes ``#name`` wherever the decomposition puts it.
    """
    spec = REGISTRY[op]
    values = [placeholder(n, TensorType.parse(operands[n])) if n in operands else None for n in spec.operands]
    if spec.decompose_rule is None:
        raise ValueError(f"{op} is a primitive: it has no decomposition to derive a pattern from")
    with emitting():
        outputs = as_tuple(spec.decompose_rule(*values, **spec.bind_attrs(attrs)))
    graph = Graph(tuple(value for value in values if value is not None), outputs)
    numbers = {value: f"#{name}" for name, value in attrs.items() if isinstance(value, float)}
    return _pattern_of(Normal(graph).term(outputs[0]), numbers)


def _pattern_of(term: Term, numbers: Mapping[float, str]) -> Pattern:
    core = term
    while core.head in ("view", "broadcast_to"):
        core = core.args[0]
    if core.head == "input":
        return f"?{core.data[0]}"
    if term.head == "const":
        return _number(term.data[0], numbers)
    parts = [_pattern_of(arg, numbers) for arg in term.args]
    if term.head in UNORDERED:
        # What binds anything comes last, or every operand would be tried for it first.
        return (term.head, *sorted(parts, key=lambda part: isinstance(part, str) and part[0] == "?"))
    if term.head in ("scaled", "pow") and term.data:
        return (term.head, *parts, _number(term.data[0], numbers))
    if term.head in REDUCTIONS:
        return (term.head, *parts, "@axes")
    return (term.head, *parts)


def _number(number: float, numbers: Mapping[float, str]) -> Pattern:
    return next((name for value, name in numbers.items() if math.isclose(value, number)), number)


class Catalogue:
    """Composites by the heads that their patterns begin with."""

    def __init__(self, composites: tuple[Composite, ...]) -> None:
        self.composites = composites
        self._by_head: dict[str, list[tuple[frozenset[str], Composite, Pattern]]] = {}
        for composite in composites:
            for pattern in composite.patterns:
                head = cast("str", pattern[0]) if isinstance(pattern, tuple) else ""
                self._by_head.setdefault(head, []).append((needs(pattern), composite, pattern))

    def possible(self, term: Term) -> list[tuple[Composite, Pattern]]:
        """The patterns that a term may be, by its head and those of the two levels below."""
        patterns = self._by_head.get(term.head)
        if not patterns:
            return []
        kinds = term.kinds
        return [(composite, pattern) for needed, composite, pattern in patterns if needed <= kinds]
