"""Decision trees as tables: every row walks down all trees at once, by gathers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_onnx.lift import SCOPE, refuse

Array = NDArray[Any]
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
COMPARISONS = (ops.less_equal, ops.less, ops.greater_equal, ops.greater, ops.equal, ops.not_equal)
MAX_DEPTH = 256


@dataclass(frozen=True, slots=True)
class Forest:
    """The nodes of all trees in one table; a leaf leads to itself.

    Attributes:
        roots: Node by tree.
        features: Feature that a node looks at.
        thresholds: What it compares with.
        modes: Number of the comparison, in the order of `MODES`.
        true: The node to go to where the comparison holds.
        false: The node to go to where it does not.
        missing: Whether a missing value (NaN) counts as true.
        weights: [nodes, targets]: what a leaf adds.
        present: [nodes, targets]: whether a leaf adds anything.
    """

    roots: Array
    features: Array
    thresholds: Array
    modes: Array
    true: Array
    false: Array
    missing: Array
    weights: Array
    present: Array

    @property
    def depth(self) -> int:
        """Steps after which every row is at a leaf."""
        current, steps = np.unique(self.roots), 0
        while True:
            following = np.unique(np.concatenate([self.true[current], self.false[current]]))
            if np.array_equal(self.true[current], current) and np.array_equal(self.false[current], current):
                return steps
            current, steps = following, steps + 1
            if steps > MAX_DEPTH:
                return refuse(f"its trees are more than {MAX_DEPTH} deep, or walk in circles")


def leaves(x: Value, forest: Forest) -> Value:
    """[batch, trees]: the leaf that each row reaches in each tree."""
    check(forest, x)
    current = ops.broadcast_to(_table(forest.roots), shape=(x.shape[0], len(forest.roots)))
    for _ in range(forest.depth):
        values = ops.take_along_axis(x, _read(forest.features, current), axis=1)
        goes = _compared(values, ops.astype(_read(forest.thresholds, current), dtype=x.dtype), forest, current)
        if forest.missing.any():
            tracks = _read(forest.missing.astype(np.bool_), current)
            goes = ops.where(ops.logical_and(ops.isnan(values), tracks), True, goes)
        current = ops.where(goes, _read(forest.true, current), _read(forest.false, current))
    return current


def check(forest: Forest, x: Value) -> None:
    """Demand that every place that the tables name exists."""
    count, width = len(forest.features), x.shape[1] if x.ndim == 2 else None
    targets = np.concatenate([forest.true, forest.false, forest.roots])
    if not count or targets.min() < 0 or targets.max() >= count or len(forest.roots) == 0:
        refuse("its trees lead to nodes that they have not")
    if not isinstance(width, int) or forest.features.min() < 0 or forest.features.max() >= width:
        refuse(f"its trees look at feature {forest.features.max()}, and x is {x.type}")


def _compared(values: Value, thresholds: Value, forest: Forest, current: Value) -> Value:
    used = np.unique(forest.modes)
    result: Value | None = None
    for mode in used:
        found = COMPARISONS[int(mode)](values, thresholds)
        if result is None:
            result = found
        else:
            here = ops.equal(_read(forest.modes, current), int(mode))
            result = ops.where(here, found, result)
    return result if result is not None else refuse("its trees have no nodes")


def _table(array: Array) -> Value:
    wide = array.astype(np.int64) if array.dtype.kind in "iu" else array
    return SCOPE.lifter.tensor(np.ascontiguousarray(wide))


def _read(array: Array, places: Value) -> Value:
    if (array == array[0]).all():
        table = SCOPE.lifter.tensor(array[:1].astype(np.int64) if array.dtype.kind in "iu" else array[:1])
        return ops.broadcast_to(table, shape=places.shape)
    return ops.take(_table(array), places, axis=0)


def aggregated(x: Value, forest: Forest, how: str) -> Value:
    """[batch, targets]: what the leaves of all trees give together."""
    places = leaves(x, forest)
    weights = ops.take(_table(forest.weights), places, axis=0)
    if how in ("SUM", "AVERAGE"):
        total = ops.sum(weights, axis=(1,))
        return total if how == "SUM" else ops.divide(total, float(len(forest.roots)))
    if how not in ("MIN", "MAX"):
        return refuse(f"its aggregate_function {how!r} is unknown")
    neutral = np.inf if how == "MIN" else -np.inf
    present = ops.take(_table(forest.present), places, axis=0)
    best = (ops.min if how == "MIN" else ops.max)(ops.where(present, weights, neutral), axis=(1,))
    return ops.where(ops.equal(best, neutral), 0.0, best)


def forest_of(nodes: Any, leaf_ids: tuple[Sequence[int], ...], weights: Array, targets: int) -> Forest:
    """The forest of the older operators, whose nodes are named by tree and number.

    Args:
        nodes: Attributes ``nodes_*`` by the rest of their names.
        leaf_ids: Tree, node and target of each weight.
        weights: Weights.
        targets: Number of targets.
    """
    trees, numbers = nodes["treeids"], nodes["nodeids"]
    place = {key: index for index, key in enumerate(zip(trees, numbers, strict=True))}
    count = len(trees)
    if len(place) != count or any(len(nodes[key]) != count for key in ("modes", "truenodeids", "falsenodeids")):
        refuse("its trees have nodes twice, or not as much of each attribute")
    is_leaf = np.array([mode == "LEAF" for mode in nodes["modes"]])
    own = np.arange(count)
    steps = []
    for key in ("truenodeids", "falsenodeids"):
        found = [place.get((tree, number), -1) for tree, number in zip(trees, nodes[key], strict=True)]
        steps.append(np.where(is_leaf, own, np.array(found)))
    table = np.zeros((count, targets), dtype=weights.dtype)
    present = np.zeros((count, targets), dtype=np.bool_)
    for tree, number, target, weight in zip(*leaf_ids, weights, strict=True):
        if (tree, number) not in place or not 0 <= target < targets:
            refuse("its weights stand at nodes or targets that it has not")
        table[place[tree, number], target] += weight
        present[place[tree, number], target] = True
    inner = [("BRANCH_LEQ" if mode == "LEAF" else mode) for mode in nodes["modes"]]
    if any(mode not in MODES for mode in inner):
        refuse(f"its trees branch in a way that is none of {', '.join(MODES)}")
    modes = np.array([MODES.index(mode) for mode in inner])
    if not is_leaf.all():
        modes[is_leaf] = modes[~is_leaf][0]
    reached = {int(step) for side in steps for step in side[~is_leaf]}
    roots = _roots(trees, reached)
    missing = np.array(nodes.get("missing_value_tracks_true") or (0,) * count, dtype=np.bool_)
    features = np.where(is_leaf, 0, np.array(nodes["featureids"]))
    return Forest(roots, features, np.asarray(nodes["values"]), modes, *steps, missing, table, present)  # pyright: ignore[reportCallIssue]


def _roots(trees: Sequence[int], reached: set[int]) -> Array:
    """The node of each tree that no other one leads to."""
    roots: dict[int, int] = {}
    for index, tree in enumerate(trees):
        if index not in reached:
            if tree in roots:
                refuse(f"its tree {tree} has more than one root")
            roots[tree] = index
    if roots.keys() != set(trees):
        refuse("one of its trees has no root")
    return np.array(list(roots.values()))


def float_or(x: Value) -> Value:
    """Features as floats."""
    return x if x.dtype in (DType.FLOAT32, DType.FLOAT64) else ops.astype(x, dtype=DType.FLOAT32)
