"""Lifting tables: from a source operator by name to ops of the language. Nothing that is not in a table is ever run.

A rule gets the operands of its node positionally and the node's attributes as keywords. Keyword defaults of a rule are
those of the source's own operator schema, which files leave out; tensors are `Value`s.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from kxchange import ops
from kxchange.dims import Dim, DimExpr
from kxchange.errors import CaptureError
from kxchange.graph import Value
from kxchange.known import Knowledge, has_ratios, python_number
from kxchange.literals import literal
from kxchange.types import DType

Rule = Callable[..., Any]
R = TypeVar("R", bound=Rule)


class Absent:
    """A result that nothing may read: its node could not be lifted."""


ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule, with the attributes that it takes.

    Attributes:
        rule: What to call.
        attributes: Names of the keywords it takes.
        required: Those without a default.
        fewest: How many operands it takes at least.
        most: How many at most; None for any number.
        moves: Whether it only moves elements, so that quantized tensors pass through as they are.
    """

    rule: Rule
    attributes: frozenset[str]
    required: frozenset[str]
    fewest: int
    most: int | None
    moves: bool = False


class LiftTable:
    """Rules by operator name."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.entries: dict[str, Entry] = {}

    def rule(self, *names: str, moves: bool = False) -> Callable[[R], R]:
        """Register the rule for operators of these names."""

        def register(rule: R) -> R:
            for name in names:
                self.add(name, rule, moves=moves)
            return rule

        return register

    def direct(self, **rules: Rule) -> None:
        """Register operators that are one op of the language, without attributes."""
        for name, rule in rules.items():
            self.add(name, rule)

    def add(self, name: str, rule: Rule, *, moves: bool = False) -> None:
        """Register one rule."""
        if name in self.entries:
            raise ValueError(f"{self.source} has two lifting rules for {name!r}")
        parameters = getattr(rule, "signature", None) or inspect.signature(rule)
        listed = list(parameters.parameters.values())
        positional = [p for p in listed if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        keywords = [p for p in listed if p.kind is p.KEYWORD_ONLY]
        variadic = any(p.kind is p.VAR_POSITIONAL for p in listed)
        self.entries[name] = Entry(
            rule,
            frozenset(p.name for p in keywords),
            frozenset(p.name for p in keywords if p.default is p.empty),
            sum(p.default is p.empty for p in positional),
            None if variadic else len(positional),
            moves,
        )

    def include(self, other: LiftTable) -> None:
        """Take over the rules of a table kept in another file."""
        for name, entry in other.entries.items():
            if name in self.entries:
                raise ValueError(f"{self.source} has two lifting rules for {name!r}")
            self.entries[name] = entry


def call(entry: Entry, operands: Sequence[Any], attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    """The results of a rule.

    Raises:
        CaptureError: Operands or attributes are missing or too many.
    """
    if len(operands) < entry.fewest or (entry.most is not None and len(operands) > entry.most):
        refuse(f"it has {len(operands)} operands, where {entry.fewest} to {entry.most or 'any number'} are known")
    if missing := sorted(entry.required - attributes.keys()):
        refuse(f"it has no attribute {missing[0]!r}")
    given = {name: value for name, value in attributes.items() if name in entry.attributes}
    results = entry.rule(*operands, **given)
    return results if isinstance(results, tuple) else (results,)


class Scope:
    """What a rule may ask for beside its arguments: set by the lifter around each call.

    Attributes:
        knowledge: Contents of small tensors.
        count: How many outputs the node has.
        lifter: Who calls the rule.
    """

    knowledge: Knowledge = Knowledge(dict[str, Any]().__getitem__)
    count: int = 1
    lifter: Any = None


SCOPE = Scope()


def refuse(reason: str) -> NoReturn:
    """Give up on this node: it becomes one of the blockers, with its name.

    Raises:
        CaptureError: always.
    """
    raise CaptureError(reason)


def known(value: Value, what: str) -> Any:
    """The content of a tensor: numbers, or dims in an object array."""
    content = SCOPE.knowledge.content(value)
    if content is None or has_ratios(content):
        refuse(f"its {what} is computed from the data")
    return content


def sizes(value: Value, what: str = "shape") -> tuple[Dim, ...]:
    """The content of a tensor as dims."""
    return tuple(item if isinstance(item, DimExpr) else int(item) for item in known(value, what).reshape(-1))


def integers(value: Value, what: str = "axis") -> tuple[int, ...]:
    """The content of a tensor as numbers that no size decides."""
    found = sizes(value, what)
    if not all(isinstance(item, int) for item in found):
        refuse(f"its {what} depends on a size")
    return tuple(item for item in found if isinstance(item, int))


def integer(value: Value, what: str = "axis") -> int:
    """The content of a tensor of one element."""
    found = integers(value, what)
    if len(found) != 1:
        refuse(f"its {what} has {len(found)} elements, not one")
    return found[0]


def number(value: Value, what: str) -> Any:
    """The one element of a tensor as a Python number."""
    content = known(value, what)
    if content.size != 1:
        refuse(f"its {what} has {content.size} elements, not one")
    return content.reshape(-1)[0] if content.dtype == object else python_number(content, value.dtype)


def sizes_tensor(dims: Sequence[Dim], dtype: DType) -> Value:
    """A rank-1 tensor of sizes."""
    import numpy as np

    if not dims:
        return literal(np.zeros((0,), dtype.numpy), dtype)
    if all(isinstance(dim, int) for dim in dims):
        return literal(np.asarray(dims, dtype.numpy), dtype)
    row = np.empty((len(dims),), dtype=object)
    row[:] = list(dims)
    return literal(row, dtype)


def scalar(value: Any, like: Value) -> Value:
    """A rank-0 number of another tensor's type."""
    return ops.full(shape=(), value=value, dtype=like.dtype)
