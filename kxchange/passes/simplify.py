"""Drop nodes that change nothing, and join shape changes that follow each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import cast

from kxchange.dims import Dim
from kxchange.graph import Graph, Node, Value, emitting, rewrite
from kxchange.ops.manipulation import expand_dims, permute_dims, reshape, squeeze
from kxchange.passes.axis_chains import shorter_chain
from kxchange.passes.bodies import map_bodies
from kxchange.spec import keep
from kxchange.types import DType

Rule = Callable[[Node, Value], Value | None]
RESHAPES = frozenset({"reshape", "squeeze", "expand_dims"})
"""Ops that leave the elements in their order: a chain of them is one of them."""
CHAIN = 8
"""Reshapes in a row that are looked through for the shape wanted."""
EXACT_IN = {
    DType.FLOAT16: frozenset({DType.FLOAT32, DType.FLOAT64}),
    DType.BFLOAT16: frozenset({DType.FLOAT32, DType.FLOAT64}),
    DType.FLOAT32: frozenset({DType.FLOAT64}),
}
"""Types that hold every value of a type: there and back again is the identity."""


def simplify(graph: Graph) -> Graph:
    """Drop identities (casts to the same type, full slices, empty pads ...) and join reshapes and permutations.

    Types and values stay exactly as they were; `dropout` stays, since training needs it. Also inside control flow.
    Linear in nodes.
    """
    return _Simplifier(graph).run()


class _Simplifier:
    """One run over one graph.

    Attributes:
        single: Nodes of the new graph whose one output is read once.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.single: set[Node] = set()
        self.reads = Counter(v for node in graph.nodes() for v in node.inputs if v is not None)
        self.reads.update(graph.outputs)

    def run(self) -> Graph:
        return rewrite(self.graph, self.change)

    def change(self, node: Node, operands: tuple[Value | None, ...]) -> tuple[Value, ...]:
        """What stands for `node` on its new operands."""
        results = keep(map_bodies(node, simplify), operands)
        if len(results) != 1:
            return results
        read_once = self.reads[Value(node)] <= 1
        simpler = None if node.constraints else self.simpler(results[0].node)
        if simpler is None:
            if read_once:
                self.single.add(results[0].node)
            return results
        if not read_once:
            self.single.discard(simpler.node)
        elif simpler.node is not results[0].node and simpler.node not in {v.node for v in operands if v is not None}:
            self.single.add(simpler.node)
        return (simpler,)

    def simpler(self, node: Node) -> Value | None:
        """A simpler value equal to the node's; None if there is none."""
        x = node.inputs[0] if node.inputs else None
        if x is None:
            return None
        if node.op in RESHAPES:
            return self.joined_reshape(node, x) or self.shorter(node)
        if node.op == "permute_dims":
            return self.joined_permutation(node, x) or self.shorter(node)
        if node.op == "astype":
            return _cast_back(node, x)
        rule = IDENTITIES.get(node.op)
        return x if rule is not None and x.type == node.types[0] and rule(node) else None

    def shorter(self, node: Node) -> Value | None:
        """A longer chain that moves axes, in fewer nodes."""
        return shorter_chain(node, lambda inner: inner in self.single)

    def joined_reshape(self, node: Node, x: Value) -> Value | None:
        """The start of a chain of reshapes if it has the shape wanted, or one reshape of it."""
        if x.type == node.types[0]:
            return x
        start = x
        for _ in range(CHAIN):
            before = start.node.inputs[0] if start.node.op in RESHAPES and not start.node.constraints else None
            if before is None:
                break
            if before.type == node.types[0]:
                return before
            start = before
        base = x.node.inputs[0] if x.node.op in RESHAPES and x.node in self.single else None
        if base is None or x.node.constraints:
            return None
        with emitting(node.name, node.source):
            joined = _joined(node, x.node, base)
        return joined if joined is None or (joined.type == node.types[0] and not joined.node.constraints) else None

    def joined_permutation(self, node: Node, x: Value) -> Value | None:
        """Two permutations as one, where the first has no other reader or both together do nothing."""
        axes = _axes(node)
        if axes == tuple(range(x.ndim)):
            return x
        inner = x.node
        base = inner.inputs[0] if inner.op == "permute_dims" else None
        if base is None:
            return None
        first = _axes(inner)
        together = tuple(first[axis] for axis in axes)
        if together == tuple(range(base.ndim)):
            return base
        if inner not in self.single:
            return None
        with emitting(node.name, node.source):
            return permute_dims(base, axes=together)


def _joined(node: Node, inner: Node, base: Value) -> Value | None:
    """Two shape changes as one of the kind that they are; None where they are of two kinds and neither is a reshape."""
    if "reshape" in (node.op, inner.op):
        return reshape(base, shape=node.types[0].shape)
    if node.op != inner.op:
        return None
    outer, inner_axes = _named(node), _named(inner)
    if node.op == "expand_dims":
        rank = len(node.types[0].shape)
        outer = {axis % rank for axis in outer}
        kept = [axis for axis in range(rank) if axis not in outer]
        return expand_dims(base, axis=tuple(sorted(outer | {kept[axis] for axis in inner_axes})))
    removed = {axis % base.ndim for axis in inner_axes}
    kept = [axis for axis in range(base.ndim) if axis not in removed]
    return squeeze(base, axis=tuple(sorted(removed | {kept[axis] for axis in outer})))


def _named(node: Node) -> set[int]:
    """The axes that a squeeze removes or an expansion adds, as they are written."""
    axes: tuple[int, ...] = node.attrs["axis"]
    return set(axes)


def _axes(node: Node) -> tuple[int, ...]:
    axes: tuple[int, ...] = node.attrs["axes"]
    return tuple(axis % len(axes) for axis in axes)


def _cast_back(node: Node, x: Value) -> Value | None:
    """The operand of a cast to its own type, or of a cast that undoes a widening."""
    if x.type == node.types[0]:
        return x
    inner = x.node.inputs[0] if x.node.op == "astype" else None
    if inner is None or inner.type != node.types[0]:
        return None
    return inner if x.dtype in EXACT_IN.get(inner.dtype, ()) else None


def _is_full_slice(node: Node) -> bool:
    return all(start == 0 for start in node.attrs["starts"]) and all(step == 1 for step in node.attrs["steps"])


def _is_empty_pad(node: Node) -> bool:
    pairs = cast("tuple[tuple[Dim, Dim], ...]", node.attrs["padding"])
    return all(before == 0 and after == 0 for before, after in pairs)


def _is_single(node: Node) -> bool:
    return len(node.inputs) == 1


def _reduces_nothing(node: Node) -> bool:
    return node.attrs["axis"] == ()


def _always(node: Node) -> bool:
    return True


IDENTITIES: dict[str, Callable[[Node], bool]] = {
    "slice": _is_full_slice,
    "pad": _is_empty_pad,
    "concat": _is_single,
    "broadcast_to": _always,
    "tile": lambda node: all(count == 1 for count in node.attrs["repetitions"]),
    "split": lambda node: len(node.types) == 1,
    "repeat": lambda node: node.attrs["repeats"] == 1,
    "roll": lambda node: all(shift == 0 for shift in node.attrs["shifts"]),
    "flip": _reduces_nothing,
    **dict.fromkeys(("sum", "prod", "max", "min", "mean", "any", "all"), _reduces_nothing),
}
"""When an op whose result has the type of its first operand is the identity."""
