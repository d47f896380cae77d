"""A converter's table of rules, keyed by op name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from kxchange.graph import Node
from kxchange.spec import as_tuple

Rule = Callable[..., Any]
R = TypeVar("R", bound=Rule)
Condition = Callable[[Node], bool]


def always(node: Node) -> bool:
    """The condition of a rule that takes every form of its op."""
    return True


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule: what to call, when it holds, and whether the call is the backend's own function."""

    rule: Rule
    when: Condition
    direct: bool


class Table:
    """Rules of one converter in one direction.

    Attributes:
        target: Name of the converter, for messages.
        entries: Rule per op name (lower) or per source op name (lift).
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.entries: dict[str, Entry] = {}

    def direct(self, **calls: Rule) -> None:
        """Ops whose backend call takes the same operands, positionally, and the same attributes."""
        for name, call in calls.items():
            self._add(name, Entry(call, always, direct=True))

    def rule(self, *names: str, when: Condition = always) -> Callable[[R], R]:
        """Register the rule for `names`; where `when(node)` is false the op is decomposed instead."""

        def register(rule: R) -> R:
            for name in names:
                self._add(name, Entry(rule, when, direct=False))
            return rule

        return register

    def supports(self, node: Node) -> bool:
        """Whether the table has a rule that takes this very node."""
        entry = self.entries.get(node.op)
        return entry is not None and entry.when(node)

    def apply(self, node: Node, operands: Sequence[Any], attrs: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        """Call the rule of `node` on backend values; `attrs` replaces the node's own (dims made concrete, say)."""
        return as_tuple(self.entries[node.op].rule(*operands, **(node.attrs if attrs is None else attrs)))

    def include(self, other: Table) -> None:
        """Take over the rules of a table kept in another file."""
        for name, entry in other.entries.items():
            self._add(name, entry)

    def _add(self, name: str, entry: Entry) -> None:
        if name in self.entries:
            raise ValueError(f"{self.target} has two rules for {name!r}")
        self.entries[name] = entry
