"""The lifting table of torch: from an ATen overload (or a function of sizes) to ops of the language.

A rule gets the arguments of its operator in schema order, defaults filled in, cut to as many as it takes. Tensors are
`Value`s, sizes are ints or `DimExpr`s, Python numbers are themselves, lists are tuples, dtypes are `DType`s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from kxchange.dims import Dim, Ranges
from kxchange.errors import CaptureError
from kxchange.graph import Value
from kxchange.table import Table

if TYPE_CHECKING:
    from kxchange_torch.lifting import Lifter

lift = Table("torch")


class Number:
    """A Python number that only the data decides: a rank-0 tensor that promotes as a number of its `kind` does.

    Attributes:
        value: The rank-0 tensor.
        kind: `bool`, `int` or `float`.
        quotient: Numerator and denominator where the number is a quotient of sizes: rounding it is a size again.
    """

    __slots__ = ("kind", "quotient", "value")

    def __init__(self, value: Value, kind: type, quotient: tuple[Dim, Dim] | None = None) -> None:
        self.value = value
        self.kind = kind
        self.quotient = quotient


class Absent:
    """A result that nothing may read.

    Attributes:
        reason: Why, for the blocker at whoever reads it; empty where the reason was reported already.
    """

    __slots__ = ("reason",)

    def __init__(self, reason: str = "") -> None:
        self.reason = reason


class Scope:
    """What a rule may ask for beside its arguments: set by the lifter around each call.

    Attributes:
        lifter: Who calls the rule.
        fake: What torch says the result is (a fake tensor, a tuple of them, or a size).
        ranges: Least and greatest size per symbol.
        training: Whether dropout is kept.
    """

    lifter: Lifter
    fake: Any = None
    ranges: Ranges = {}
    training: bool = False


SCOPE = Scope()


def refuse(reason: str) -> NoReturn:
    """Give up on this operator: it becomes one of the blockers, with its line.

    Raises:
        CaptureError: always.
    """
    raise CaptureError(reason)


MISSING = Absent()
"""The result of an operator that could neither be lifted nor typed; what depends on it is skipped."""

CHECKS = {"aten._linalg_check_errors.default"}
"""Operators that only raise: what they check, every backend does in its own way."""


def result_is_read(index: int) -> bool:
    """Whether anything but a check reads that result of the operator being lifted."""
    return any(_reads(user, index) for user in SCOPE.lifter.node.users)


def _reads(user: Any, index: int) -> bool:
    if getattr(user.target, "__name__", "") != "getitem":
        return True
    return user.args[1] == index and not all(_only_checks(reader) for reader in user.users)


def _only_checks(reader: Any) -> bool:
    return bool(CHECKS & {str(reader.target), *map(str, reader.args[1:2])})


NO_RULE = "there is no lifting rule for it"


def dissolve() -> NoReturn:
    """Ask for torch's own definition of the operator being lifted; where there is none it is a blocker.

    Raises:
        CaptureError: always.
    """
    SCOPE.lifter.unknown.setdefault(SCOPE.lifter.node.target)
    raise CaptureError(NO_RULE)


def each(rules: dict[str, str], make: Callable[[str], Callable[..., Any]], pattern: str = "aten.{}.default") -> None:
    """Register ``make(op name)`` for every ATen name of `rules`."""
    for name, op in rules.items():
        lift.rule(pattern.format(name))(make(op))
