"""Samples of the ops that pick, write, order and count elements."""

from __future__ import annotations

from typing import Any

from kxchange.testing.samples import FLOAT, Operand, booleans, dim, distinct, integers, normal, samples, values
from kxchange.types import DType

batch = ("batch", 2)
INF, NAN = float("inf"), float("nan")


def whole(items: Any) -> Operand:
    """Exactly these int64 numbers."""
    return values(items, DType.INT64)


# --- picking ---
samples("take", [normal(5, 3), integers(-5, 5, batch, 2)], {"axis": 0})
samples("take", [normal(batch, 4, 3), integers(0, 4, ("n", 3), dtype=DType.INT32)], {"axis": -2})
samples("take", [normal(3, 2), whole(-1)], {"axis": 1}, note="X09")
for mode in ["clip", "wrap", "fill"]:
    samples(
        "take", [normal(3, 2), whole([5, -1, -4, 0, 3])], {"axis": 0, "mode": mode}, note="X10", differentiable=False
    )
    samples(
        "take", [integers(0, 9, 2, 3), values([[3, -4], [1, -1]], DType.INT8)], {"axis": 1, "mode": mode}, note="X10"
    )
samples("take", [values([3, 4], DType.UINT8), values([2, 1], DType.UINT64)], {"axis": 0, "mode": "fill"}, note="X10")
samples("take", [normal(0, 2), whole([0])], {"axis": 0, "mode": "fill"}, differentiable=False, note="empty")
samples("take_along_axis", [normal(batch, 4), integers(-4, 4, batch, 3)], {"axis": 1})
samples("take_along_axis", [normal(batch, 4, 2), integers(0, 4, 1, 3, 2)], {"axis": -2}, note="broadcast")
samples("gather_nd", [normal(3, 4, 2), whole([[0, 1], [-1, -1], [2, 3]])])
samples("gather_nd", [normal(batch, 4, 3), integers(-4, 4, batch, 5, 1)], {"batch_dims": 1})
samples("gather_nd", [normal(3, 4), integers(0, 3, batch, 2, 2)])
samples("one_hot", [whole([-1, 3, 1])], {"depth": 3, "dtype": FLOAT}, note="X11")
samples("one_hot", [integers(0, 4, batch, 2, dtype=DType.INT32)], {"depth": 4, "axis": 1, "dtype": DType.INT64})
samples("one_hot", [integers(0, 4, batch, 2)], {"depth": dim("batch"), "axis": 0, "dtype": DType.BOOL})
samples("one_hot", [values([255, 0], DType.UINT8)], {"depth": 300, "dtype": FLOAT}, note="wide")
samples("one_hot", [whole(2)], {"depth": 4, "dtype": FLOAT}, note="rank-0")

# --- writing ---
for reduction in ["set", "add", "multiply", "min", "max"]:
    attrs = {"reduction": reduction}
    same = whole([[0, -3], [0, 1]])
    samples("scatter", [normal(3, 2), same, normal(2, 2)], {"axis": 0, **attrs}, note="X12", differentiable=False)
    samples("scatter", [integers(-9, 9, 2, 4), whole([[1, 1, 3]]), integers(-9, 9, 1, 3)], {"axis": -1, **attrs})
    samples("scatter_nd", [normal(4, 3), whole([[1], [3], [1]]), normal(3, 3)], attrs, note="X12", differentiable=False)
    samples("scatter_nd", [normal(2, 3), whole([[[0, 1]], [[-1, 2]]]), normal(2, 1)], attrs)
samples("scatter", [normal(batch, 4), whole([[1, 0]]), normal(1, 2)], {"axis": 1})
samples("scatter", [normal(3), integers(0, 3, 0), normal(0)], {"axis": 0}, note="none")
samples("scatter_nd", [normal(("n", 4), 2), whole([[0], [2]]), normal(2, 2)], {"reduction": "add"})
for attrs in ({"reduction": "set"}, {"reduction": "add"}):
    samples("scatter_nd", [normal(4, 3), whole([-1, 2]), normal()], attrs, note="one index tuple")

# --- ordering ---
special = values([2.0, NAN, 1.0, -INF, INF])
ties = values([1.0, 2.0, 5.0, 4.0, 5.0])
for name in ["sort", "argsort"]:
    for descending in [False, True]:
        attrs = {"descending": descending}
        samples(name, [distinct(batch, ("n", 5))], attrs)
        samples(name, [distinct(4, batch, 3)], {"axis": 0, **attrs})
        samples(name, [special], attrs, note="X05", differentiable=False)
        samples(name, [values([3, 1, 3, 1, 2], DType.UINT8)], attrs, note="ties")
    samples(name, [booleans(5)], note="bool")
samples("top_k", [distinct(batch, 6)], {"k": 2})
samples("top_k", [distinct(batch, ("n", 5), 2)], {"k": dim("n-1"), "axis": 1, "largest": False})
samples("top_k", [distinct(5, 2)], {"k": 5, "axis": 0})
samples("top_k", [values([0.0] * 20)], {"k": 3}, note="X01", differentiable=False)
samples("top_k", [ties], {"k": 2}, note="X02", differentiable=False)
samples("top_k", [special], {"k": 2}, note="X06", differentiable=False)
samples("top_k", [special], {"k": 4, "largest": False}, note="X06", differentiable=False)
samples("top_k", [whole([3, 1, 2])], {"k": 0}, note="none")
samples("top_k", [values([1, -128, 5], DType.INT8)], {"k": 2, "largest": False}, note="least")
for side in ["left", "right"]:
    attrs = {"side": side}
    ascending = values([1.0, 2.0, 2.0, 5.0])
    samples("searchsorted", [ascending, values([[0.0, 2.0], [5.0, 9.0]])], attrs)
    samples("searchsorted", [values([1.0, NAN]), values([NAN, 0.5, INF])], attrs, note="nan")
    rows = whole([[1, 3, 3], [0, 0, 9], [5, 6, 7]])
    samples("searchsorted", [rows, whole([[3, 0, 4, 9], [0, 9, 10, -1], [7, 5, 6, 8]])], attrs, note="batched")
    samples("searchsorted", [values([[1.0, NAN, NAN]]), values([[NAN, 3.0]])], attrs, note="batched-nan")
    samples("searchsorted", [normal(2, 0), normal(2, 2)], attrs, note="empty")

# --- counting ---
samples("nonzero", [values([[0.0, 2.0], [NAN, 0.0]])], note="X08")
samples("nonzero", [booleans(batch, 3, 2)])
samples("nonzero", [integers(-1, 2, batch, 4)], {"count": "found"})
samples("nonzero", [values(3.0)], note="rank-0")
samples("nonzero", [values([0.0, 0.0])], note="none")
samples("unique", [values([3.0, 1.0, 3.0, 2.0])], note="X07")
samples("unique", [integers(-2, 3, batch, 4)], {"count": "kinds"})
samples("unique", [values([NAN, 1.0, NAN, -INF, 1.0])], note="nan")
samples("unique", [normal(0)], note="empty")
samples("unique", [booleans(2, 2)])
