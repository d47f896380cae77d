"""Samples of branches and loops, with the sub-graphs they run."""

from __future__ import annotations

from kxchange.dims import Dim
from kxchange.graph import Graph, placeholder
from kxchange.ops.arithmetic import add, multiply, subtract
from kxchange.ops.comparison import less
from kxchange.ops.control import cond, scan
from kxchange.ops.reduction import sum_
from kxchange.testing.samples import dim, normal, samples, values
from kxchange.types import DType, TensorType

F64, INT = DType.FLOAT64, DType.INT64


def rows(*shape: Dim) -> TensorType:
    """A float64 type."""
    return TensorType(F64, shape)


def running_sum(*shape: Dim) -> Graph:
    """(scale, total, x) -> (total + x, (total + x) * scale)."""
    scale, total, x = placeholder("scale", rows()), placeholder("total", rows(*shape)), placeholder("x", rows(*shape))
    after = add(total, x)
    return Graph((scale, total, x), (after, multiply(after, scale)))


def doubling(*shape: Dim) -> Graph:
    """From x to 2 x."""
    x = placeholder("x", rows(*shape))
    return Graph((x,), (add(x, x),))


def negating(*shape: Dim) -> Graph:
    """From x to 0 - x."""
    x = placeholder("x", rows(*shape))
    return Graph((x,), (subtract(0.0, x),))


def below() -> Graph:
    """(limit, count, x) -> count < limit."""
    limit, count = placeholder("limit", TensorType(INT, ())), placeholder("count", TensorType(INT, ()))
    return Graph((limit, count, placeholder("x", rows(dim("n")))), (less(count, limit),))


def counting() -> Graph:
    """(step, count, x) -> (count + 1, x + step)."""
    step, count, x = (
        placeholder("step", rows()),
        placeholder("count", TensorType(INT, ())),
        placeholder("x", rows(dim("n"))),
    )
    return Graph((step, count, x), (add(count, 1), add(x, step)))


def nested() -> Graph:
    """(total, x [m]) -> total plus or minus every element of x, whichever makes it positive."""
    total, x = placeholder("total", rows()), placeholder("x", rows(dim("m")))
    inner_total, element = placeholder("total", rows()), placeholder("element", rows())
    sign = less(element, 0.0)
    (signed,) = [cond(sign, element, branches=(doubling(), negating()))]
    step = Graph((inner_total, element), (add(inner_total, signed),))
    result = scan(total, x, body=step, num_consts=0, num_carry=1, length=dim("m"))
    return Graph((total, x), (result, sum_(x)))


for flag in [True, False]:
    samples(
        "cond",
        [values(flag, DType.BOOL), normal(("n", 3), 2, dtype=F64)],
        {"branches": (doubling(dim("n"), 2), negating(dim("n"), 2))},
        note=str(flag).lower(),
    )
for limit in [3, 0]:
    samples(
        "while_loop",
        [values(limit, INT), normal(dtype=F64), values(0, INT), normal(("n", 2), dtype=F64)],
        {"cond": below(), "body": counting(), "cond_consts": 1, "body_consts": 1},
        differentiable=False,
        note=f"{limit}-rounds",
    )
operands = [normal(dtype=F64), normal(("n", 2), dtype=F64), normal(("time", 4), ("n", 2), dtype=F64)]
steps = {"body": running_sum(dim("n")), "num_consts": 1, "num_carry": 1}
samples("scan", operands, {**steps, "length": dim("time")})
samples("scan", operands, {**steps, "length": dim("time"), "reverse": True}, note="reverse")
empty = [*operands[:2], normal(0, ("n", 2), dtype=F64)]
samples("scan", empty, {**steps, "length": 0}, differentiable=False, note="length-0")
counted = {"body": doubling(2), "num_consts": 0, "num_carry": 1, "length": 3}
samples("scan", [normal(2, dtype=F64)], counted, note="no-xs")
mapped = {"body": doubling(2), "num_consts": 0, "num_carry": 0, "length": dim("time")}
samples("scan", [normal(("time", 3), 2, dtype=F64)], mapped, note="no-carry")
samples(
    "scan",
    [normal(dtype=F64), normal(("time", 3), ("m", 4), dtype=F64)],
    {"body": nested(), "num_consts": 0, "num_carry": 1, "length": dim("time")},
    differentiable=False,
    note="nested",
)
