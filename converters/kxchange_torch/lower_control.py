"""Lowering of branches and loops: sub-graphs become functions, and these call them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kxchange.graph import Graph
from kxchange_torch.dtypes import torch_dtype
from kxchange_torch.lowering import CURRENT, lower_body, output_type, size
from kxchange_torch.private import scan_operator, while_operator
from kxchange_torch.program import Program
from kxchange_torch.rules import Rules

Tensor = Any
Values = Sequence[Tensor]

lower = Rules()


@dataclass(frozen=True)
class Branch:
    """``branches[predicate](*operands, *captures)``; one branch is run, and one only."""

    otherwise: Program
    then: Program
    __name__ = "branch"

    def __call__(self, predicate: Tensor, operands: Values, captures: tuple[Values, Values]) -> tuple[Tensor, ...]:
        """Run the chosen branch."""
        if torch.compiler.is_compiling():
            return torch.cond(
                predicate,
                lambda *values: fresh(self.then(*values, *captures[1])),
                lambda *values: fresh(self.otherwise(*values, *captures[0])),
                tuple(operands),
            )
        if predicate:
            return self.then(*operands, *captures[1])
        return self.otherwise(*operands, *captures[0])


@dataclass(frozen=True)
class While:
    """The carry, put through `body` for as long as `test` holds."""

    test: Program
    body: Program
    __name__ = "while_loop"

    def __call__(self, consts: tuple[Values, Values], carry: Values, captures: tuple[Values, Values]) -> Values:
        """Run the loop."""
        if torch.compiler.is_compiling():
            return while_operator(
                lambda *values: self.test(*consts[0], *values, *captures[0])[0],
                lambda *values: fresh(self.body(*consts[1], *values, *captures[1])),
                fresh(carry),
            )
        carry = tuple(carry)
        while self.test(*consts[0], *carry, *captures[0])[0]:
            carry = self.body(*consts[1], *carry, *captures[1])
        return carry


@dataclass(frozen=True)
class Scan:
    """A loop over axis 0 of `xs`.

    Attributes:
        body: ``(consts..., carry..., elements..., captures...) -> (carry..., results...)``.
        reverse: From the last position to the first.
        dtypes: Of the stacked results.
    """

    body: Program
    reverse: bool
    dtypes: tuple[torch.dtype, ...]
    __name__ = "scan"

    def __call__(
        self, consts: Values, carry: Values, xs: Values, captures: Values, length: int, shapes: Any, device: Any
    ) -> tuple[Tensor, ...]:
        """Run the loop; `shapes` are those of the stacked results, for a loop of no steps."""
        if torch.compiler.is_compiling():
            return self._as_operator(consts, carry, xs, captures, length, device)
        carry, count = tuple(carry), len(carry)
        steps = list(zip(*(x.unbind(0) for x in xs), strict=True)) if xs else [()] * length
        stacked: list[list[Tensor]] = [[] for _ in self.dtypes]
        for elements in reversed(steps) if self.reverse else steps:
            results = self.body(*consts, *carry, *elements, *captures)
            carry = results[:count]
            for stack, result in zip(stacked, results[count:], strict=True):
                stack.append(result)
        if not steps:
            empty = zip(shapes, self.dtypes, strict=True)
            return (*carry, *(torch.empty(shape, dtype=dtype, device=device) for shape, dtype in empty))
        return (*carry, *(torch.stack(stack[::-1] if self.reverse else stack) for stack in stacked))

    def _as_operator(
        self, consts: Values, carry: Values, xs: Values, captures: Values, length: int, device: Any
    ) -> tuple[Tensor, ...]:
        """The loop as one operator, whatever its length; it needs a carry, and something to run over."""
        count, over = len(carry), len(xs)
        nothing = torch.zeros((), device=device)
        if not all(state.is_floating_point() for state in carry):  # torch cannot derive a scan that counts
            consts, carry, xs, captures = ([x.detach() for x in part] for part in (consts, carry, xs, captures))

        def step(state: Values, elements: Values) -> tuple[list[Tensor], list[Tensor]]:
            results = fresh(self.body(*consts, *state[:count], *elements[:over], *captures))
            return [*results[:count], state[-1].clone()], list(results[count:])

        positions = torch.zeros((length,), device=device)
        # One tensor that starts two carries would be traced as one carry (the two states of an LSTM).
        last, stacked = scan_operator(step, [*fresh(carry), nothing], [*fresh(xs), positions], self.reverse)
        return (*last[:count], *stacked)


def fresh(outputs: Values) -> tuple[Tensor, ...]:
    """Copies: torch's traced control flow refuses a result that is an operand, and takes equal operands for one."""
    return tuple(output.clone() for output in outputs)


def _call(target: Any, *args: Any, outputs: int) -> tuple[Tensor, ...]:
    """Record the call of one of the above."""
    result: Any = CURRENT.get().tracer.create_proxy("call_function", target, args, {})
    return tuple(result[index] for index in range(outputs))


@lower.rule("cond")
def _(predicate: Tensor, *operands: Tensor, branches: tuple[Graph, Graph]) -> tuple[Tensor, ...]:
    (otherwise, first), (then, second) = map(lower_body, branches)
    return _call(Branch(otherwise, then), predicate, operands, (first, second), outputs=len(branches[0].outputs))


@lower.rule("while_loop")
def _(*operands: Tensor, cond: Graph, body: Graph, cond_consts: int, body_consts: int) -> tuple[Tensor, ...]:
    (test, first), (step, second) = lower_body(cond), lower_body(body)
    split = cond_consts + body_consts
    consts, carry = (operands[:cond_consts], operands[cond_consts:split]), operands[split:]
    return _call(While(test, step), consts, carry, (first, second), outputs=len(carry))


@lower.rule("scan")
def _(
    *operands: Tensor, body: Graph, num_consts: int, num_carry: int, reverse: bool, length: Any
) -> tuple[Tensor, ...]:
    step, captures = lower_body(body)
    split, outputs = num_consts + num_carry, len(body.outputs)
    types = [output_type(index) for index in range(num_carry, outputs)]
    target = Scan(step, reverse, tuple(torch_dtype(type.dtype) for type in types))
    shapes = tuple(tuple(map(size, type.shape)) for type in types)
    parts = operands[:num_consts], operands[num_consts:split], operands[split:]
    return _call(target, *parts, captures, length, shapes, CURRENT.get().device(), outputs=outputs)
