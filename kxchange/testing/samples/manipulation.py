"""Samples of the ops that move elements: reshaping, joining, slicing."""

from __future__ import annotations

from kxchange.testing.samples import booleans, dim, integers, normal, samples, values
from kxchange.types import DType

batch, seq = ("batch", 2), ("seq", 3)
NAN = float("nan")

# --- reshaping ---
samples("reshape", [normal(batch, seq, 4)], {"shape": (dim("batch*seq"), 4)})
samples("reshape", [normal(batch, 6)], {"shape": (dim("batch"), -1, 2)})
samples("reshape", [normal(2, 6)], {"shape": (-1,)})
samples("reshape", [normal(("h", 4), 3)], {"shape": (dim("h//2"), 2, 3)}, note="divisible")
samples("reshape", [normal(0, 3)], {"shape": (3, 0)}, note="R13")
samples("reshape", [normal()], {"shape": (1, 1)}, note="rank-0")
samples("reshape", [integers(0, 9, batch, 4, dtype=DType.UINT8)], {"shape": (dim("4*batch"),)})
samples("permute_dims", [normal(batch, seq, 4)], {"axes": (2, 0, 1)})
samples("permute_dims", [normal(batch, 3, 4)], {"axes": (0, -1, -2)})
samples("permute_dims", [normal()], {"axes": ()}, note="rank-0")
samples("expand_dims", [normal(batch, 3)], {"axis": (1,)})
samples("expand_dims", [normal(batch, 3)], {"axis": (-1, 0)})
samples("expand_dims", [booleans()], {"axis": (0,)}, note="rank-0")
samples("squeeze", [normal(batch, 1, 3, 1)], {"axis": (1, -1)})
samples("squeeze", [normal(1)], {"axis": (0,)})
samples("broadcast_to", [normal(1, 3)], {"shape": (dim("batch"), 3)}, dims={"batch": 4})
samples("broadcast_to", [normal(batch, 1)], {"shape": (5, dim("batch"), 4)})
samples("broadcast_to", [normal()], {"shape": (2, 3)}, note="rank-0")
samples("broadcast_to", [normal(1, 3)], {"shape": (0, 3)}, note="empty")
for mode in ["DCR", "CRD"]:
    samples("depth_to_space", [normal(batch, 8, ("h", 3), 2)], {"block_size": 2, "mode": mode})
    samples("depth_to_space", [normal(batch, ("h", 3), 2, 8)], {"block_size": 2, "mode": mode, "channel_axis": -1})
    samples("depth_to_space", [normal(1, 16, 1, 2, 1)], {"block_size": 2, "mode": mode}, note="3-d")
samples("depth_to_space", [normal(1, 6, 4)], {"block_size": 3}, note="1-d")
samples("space_to_depth", [normal(batch, 3, ("2*h", 4), 2)], {"block_size": 2}, dims={"h": 2})
samples("space_to_depth", [normal(batch, 4, ("2*h", 2), 3)], {"block_size": 2, "channel_axis": -1}, dims={"h": 1})
samples("space_to_depth", [normal(1, 2, 6)], {"block_size": 3}, note="1-d")

# --- joining ---
samples("concat", [normal(batch, 3), normal(batch, seq)], {"axis": 1})
samples("concat", [normal(seq, 2), normal(("past", 4), 2), normal(0, 2)], {"axis": -2}, note="empty-part")
samples("concat", [integers(-9, 9, batch)], {"axis": 0}, note="one")
samples("stack", [normal(batch, 3), normal(batch, 3)], {"axis": 0})
samples("stack", [normal(batch, 3), normal(batch, 3), normal(batch, 3)], {"axis": -1})
samples("stack", [normal(), normal()], {"axis": 0}, note="R21")
samples("split", [normal(batch, 6)], {"sizes": (1, 2, 3), "axis": 1})
samples("split", [normal(("2*n", 6), 2)], {"sizes": (dim("n"), dim("n")), "axis": 0}, dims={"n": 3})
samples("split", [normal(batch, 5)], {"sizes": (2, 2, 1), "axis": -1}, note="R12")
samples("split", [normal(4)], {"sizes": (0, 4), "axis": 0}, note="empty-part")
samples("pad", [normal(batch, seq)], {"padding": ((0, 0), (1, 2))})
samples("pad", [normal(batch, seq)], {"padding": ((0, 0), (dim("seq-1"), 0)), "value": -1.5}, note="causal")
samples("pad", [integers(0, 9, 3)], {"padding": ((2, 1),), "value": -1}, note="integer")
samples("pad", [booleans(2, 2)], {"padding": ((1, 0), (0, 1)), "value": 1}, note="bool")
samples("pad", [normal(0, 2)], {"padding": ((1, 2), (0, 0)), "value": float("inf")}, differentiable=False, note="empty")
for mode in ["reflect", "symmetric", "edge", "wrap"]:
    samples("pad", [values([1.0, 2.0, 3.0])], {"padding": ((2, 1),), "mode": mode}, note="R09")
    samples("pad", [normal(batch, 3, ("w", 4))], {"padding": ((0, 0), (2, 0), (1, 2)), "mode": mode})
samples("tile", [normal(batch, 3)], {"repetitions": (2, 1)})
samples("tile", [normal(batch, 3)], {"repetitions": (dim("batch"), 3)})
samples("tile", [normal(2, 2)], {"repetitions": (0, 2)}, note="none")
samples("repeat", [normal(batch, 3)], {"repeats": 2, "axis": 0})
samples("repeat", [normal(batch, 3)], {"repeats": 3, "axis": -1})
samples("repeat", [normal(2)], {"repeats": 0, "axis": 0}, note="none")

# --- slicing ---
samples("slice", [normal(batch, 6)], {"starts": (1,), "stops": (5,), "steps": (2,), "axes": (1,)})
samples(
    "slice",
    [normal(batch, ("seq", 5))],
    {"starts": (dim("seq-2"), 0), "stops": (dim("seq"), dim("batch")), "steps": (1, 1), "axes": (-1, 0)},
)
samples("slice", [normal(batch, 6)], {"starts": (5,), "stops": (-1,), "steps": (-2,), "axes": (1,)}, note="backwards")
samples("slice", [normal(4, 6)], {"starts": (2,), "stops": (2,), "steps": (-1,), "axes": (0,)}, note="empty")
samples("slice", [normal(("seq", 4))], {"starts": (dim("seq-1"),), "stops": (-1,), "steps": (-1,), "axes": (0,)})
for starts in [(1, 2), (-1, 9)]:
    firsts = [values(start, DType.INT32) for start in starts]
    note = "inside" if starts == (1, 2) else "clamped"
    samples("dynamic_slice", [normal(("n", 4), 5), *firsts], {"sizes": (2, 3)}, note=note)
    samples("dynamic_update_slice", [normal(("n", 4), 5), normal(2, 3), *firsts], note=note)
samples(
    "dynamic_slice", [normal(batch, 3), values(0, DType.INT64), values(1, DType.INT64)], {"sizes": (dim("batch"), 1)}
)
samples("flip", [normal(batch, 3)], {"axis": (1,)})
samples("flip", [normal(batch, 3, seq)], {"axis": (0, -1)})
samples("flip", [normal(0, 2)], {"axis": (0,)}, note="empty")
samples("roll", [normal(batch, 5)], {"shifts": (2,), "axis": (1,)})
samples("roll", [normal(seq, 5)], {"shifts": (4, -2), "axis": (0, -1)})
samples("roll", [normal(0, 3)], {"shifts": (1,), "axis": (0,)}, note="empty")
samples("roll", [integers(0, 9, 4)], {"shifts": (4,), "axis": (0,)}, note="full-turn")
for name in ["tril", "triu"]:
    samples(name, [normal(batch, seq, seq)])
    samples(name, [normal(batch, 2, ("n", 4))], {"k": 1})
    samples(name, [normal(4, 3)], {"k": -2})
    samples(name, [values([[NAN, NAN], [1.0, 2.0]])], note="nan", differentiable=False)
    samples(name, [booleans(3, 3)], note="bool")
