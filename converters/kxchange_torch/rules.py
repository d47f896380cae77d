"""The lowering table's own form: which operands a rule takes as Python numbers."""

from __future__ import annotations

from collections.abc import Callable

from kxchange.table import Condition, Rule, Table, always

EVERY = frozenset(range(64))
"""Every operand position."""


class Rules(Table):
    """A table whose rules may take rank-0 literals as Python numbers, which torch computes with faster."""

    def __init__(self) -> None:
        super().__init__("torch")
        self._scalars: dict[str, frozenset[int]] = {}

    def numbers(self, *positions: int, **calls: Rule) -> None:
        """Ops as in `direct` whose operands at `positions` (all, if none is named) may be Python numbers.

        Only for functions that give a number the dtype of the tensor beside it.
        """
        self.direct(**calls)
        for name in calls:
            self._scalars[name] = frozenset(positions) or EVERY

    def takes_numbers(self, name: str, *positions: int, when: Condition = always) -> Callable[[Rule], Rule]:
        """Register a rule, as `rule` does, whose operands at `positions` may be Python numbers."""
        self._scalars[name] = frozenset(positions) or EVERY
        return self.rule(name, when=when)

    def scalars(self, name: str) -> frozenset[int]:
        """Positions of the operands that may be Python numbers."""
        return self._scalars.get(name, frozenset())

    def include(self, other: Table) -> None:
        """Take over the rules of a table kept in another file."""
        super().include(other)
        if isinstance(other, Rules):
            self._scalars.update(other._scalars)
