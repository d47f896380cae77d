"""The lifting table of ONNX: from an operator of a domain, as of an opset, to ops of the language.

A rule gets the operands of its node positionally, `None` for absent ones, and its attributes as keywords with the
schema's defaults filled in, `None` where the schema has none; so rules have no defaults. Tensors are `Value`s,
sequences are `Items`, an empty optional is `EMPTY`, sub-graphs are `Body`s, tensor attributes are arrays.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from kxchange.errors import CaptureError

if TYPE_CHECKING:
    from kxchange_onnx.lifting import Lifter

Rule = Callable[..., Any]
R = TypeVar("R", bound=Rule)

MICROSOFT = "com.microsoft"
ML = "ai.onnx.ml"


class Absent:
    """A result that nothing may read: its node could not be lifted."""


class Empty:
    """An optional that holds nothing."""


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence whose length is known while the model is read."""

    values: tuple[Any, ...]


ABSENT = Absent()
EMPTY = Empty()


@dataclass(frozen=True, slots=True)
class Growing:
    """A sequence that a loop of any length builds, as its body sees it; `added` is what this step appends."""

    added: Any = None


@dataclass(frozen=True, slots=True)
class Rows:
    """A sequence as long as a loop was: the items along axis 0 of one tensor."""

    value: Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule.

    Attributes:
        rule: What to call.
        since: First version of the operator that it holds for.
        attributes: Names of the attributes it takes.
        limit: How many operands it takes; None for any number.
        defaults: Attribute defaults, for domains whose schemas are not part of the onnx package.
    """

    rule: Rule
    since: int
    attributes: frozenset[str]
    limit: int | None
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])


class LiftTable:
    """Rules by domain, operator and the version from which they hold.

    Attributes:
        entries: Rules by domain and operator, the newest first.
        refusals: Why an operator that is well known has no rule.
    """

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], list[Entry]] = {}
        self.refusals: dict[tuple[str, str], str] = {}

    def rule(
        self, *names: str, since: int = 1, domain: str = "", defaults: Mapping[str, Any] | None = None
    ) -> Callable[[R], R]:
        """Register the rule for operators of `domain`, from version `since` on until a later one is registered."""

        def register(rule: R) -> R:
            for name in names:
                self.add(domain, name, rule, since, defaults or {})
            return rule

        return register

    def add(
        self, domain: str, name: str, rule: Rule, since: int = 1, defaults: Mapping[str, Any] | None = None
    ) -> None:
        """Register one rule."""
        known = self.entries.setdefault((domain, name), [])
        if any(entry.since == since for entry in known):
            raise ValueError(f"the operator {name} of domain {domain!r} has two rules for version {since}")
        parameters = inspect.signature(rule).parameters.values()
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        limit = None if variadic else sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
        attributes = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        known.append(Entry(rule, since, attributes, limit, defaults or {}))
        known.sort(key=lambda entry: -entry.since)

    def find(self, domain: str, name: str, version: int) -> Entry | None:
        """The rule for an operator whose schema dates from `version`."""
        return next((e for e in self.entries.get((domain, name), ()) if e.since <= version), None)


lift = LiftTable()


class Scope:
    """What a rule may ask for beside its arguments: set by the lifter around each call.

    Attributes:
        lifter: Who calls the rule.
        wanted: For each output of the node, whether anything may read it.
        version: The opset of the node's domain that its graph declares.
        expand: Lifts the node by the function body of its schema instead.
    """

    lifter: Lifter
    wanted: tuple[bool, ...] = ()
    version: int = 0
    expand: Callable[[], Any] | None = None


SCOPE = Scope()


def wants(index: int) -> bool:
    """Whether the node that is being lifted has a reader for output `index`."""
    return index < len(SCOPE.wanted) and SCOPE.wanted[index]


def expand() -> Any:
    """Lift the node by the function body in its schema: for forms that the rule does not take."""
    return refuse("this form of it has no lift") if SCOPE.expand is None else SCOPE.expand()


def refuse(reason: str) -> NoReturn:
    """Give up on this node: it becomes one of the blockers, with its name; an empty reason was reported before.

    Raises:
        CaptureError: always.
    """
    raise CaptureError(reason)
