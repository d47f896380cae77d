"""Push transposes towards the outputs until they meet their inverse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kxchange.dims import Dim
from kxchange.graph import Graph, Node, Value, emitting, interpret
from kxchange.ops.manipulation import permute_dims, reshape
from kxchange.passes.bodies import bodies_of, map_bodies
from kxchange.spec import REGISTRY, apply_op, keep

Permutation = tuple[int, ...]
Operands = Sequence["Pending | None"]
ELEMENTWISE = frozenset({"arithmetic", "comparison", "conversion", "mathematics", "activation", "rectifier"})
"""Families (modules of `kxchange.ops`) of ops that work element by element, those with an `axis` apart."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A value known as a transpose that has not been made: ``permute_dims(base, axes)``."""

    base: Value
    axes: Permutation

    @property
    def shape(self) -> tuple[Dim, ...]:
        """Shape of the transpose."""
        return tuple(self.base.shape[axis] for axis in self.axes)


def cancel_transposes(graph: Graph) -> Graph:
    """Remove transposes that meet their inverse behind ops that do not care about the order of axes.

    ``permute_dims(relu(permute_dims(x, (0, 2, 3, 1))), (0, 3, 1, 2))`` becomes ``relu(x)``. Goes through elementwise
    ops, reductions, concat, softmax, slices, pads, tiles, squeezes of reduced axes and broadcasts; parameters on the
    side are transposed instead, which folds away. The result is kept only if it has fewer transposes of activations.
    Bodies of control flow are treated by themselves. Linear in nodes.
    """
    sinker = _Sinker()
    outputs = interpret(graph, [Pending(v, identity(v.ndim)) for v in graph.inputs], sinker.apply)
    after = Graph(graph.inputs, tuple(sinker.make(pending) for pending in outputs))
    return after if count_transposes(after) < count_transposes(graph) else graph


def count_transposes(graph: Graph) -> int:
    """How many transposes of activations a graph has, in its sub-graphs too; those of parameters fold away."""
    static: set[Node] = set()
    count = 0
    for node in graph.nodes():
        if all(value is None or value.node in static for value in node.inputs):
            static.add(node)
        elif node.op == "permute_dims" and not moves_only_ones(node.inputs[0], node.attrs["axes"]):
            count += 1
        count += sum(map(count_transposes, bodies_of(node)))
    return count


def moves_only_ones(x: Value | None, axes: Sequence[int]) -> bool:
    """Whether a permutation leaves all axes but those of size 1 in their order: then it is a reshape."""
    if x is None:
        return False
    long = [axis % x.ndim for axis in axes if x.shape[axis] != 1]
    return long == sorted(long)


def identity(rank: int) -> Permutation:
    """The permutation that changes nothing."""
    return tuple(range(rank))


def inverse(axes: Permutation) -> Permutation:
    """The permutation that undoes `axes`."""
    undone = [0] * len(axes)
    for position, axis in enumerate(axes):
        undone[axis] = position
    return tuple(undone)


def composed(first: Permutation, second: Permutation) -> Permutation:
    """One permutation in place of two."""
    return tuple(first[axis] for axis in second)


class _Sinker:
    """One run: what each value is a transpose of, and the transposes that had to be made.

    Attributes:
        made: Transposes by what they are of.
        static: Nodes of the new graph that depend on no input.
    """

    def __init__(self) -> None:
        self.made: dict[tuple[Value, Permutation], Value] = {}
        self.static: set[Node] = set()

    def make(self, pending: Pending) -> Value:
        """The value itself: the transpose is emitted, once."""
        if pending.axes == identity(len(pending.axes)):
            return pending.base
        key = (pending.base, pending.axes)
        if key not in self.made:
            is_reshape = moves_only_ones(pending.base, pending.axes)
            with emitting(pending.base.node.name, pending.base.node.source):
                made = (
                    reshape(pending.base, shape=pending.shape)
                    if is_reshape
                    else permute_dims(pending.base, axes=pending.axes)
                )
            self.made[key] = self.mark(made)
        return self.made[key]

    def mark(self, value: Value) -> Value:
        """The value, its node noted as static if all it reads is."""
        reads = (operand.node in self.static for operand in value.node.inputs if operand is not None)
        if value.node.op != "input" and all(reads):
            self.static.add(value.node)
        return value

    def apply(self, node: Node, operands: list[Pending | None]) -> Sequence[Pending]:
        """Give `node` its meaning on pending transposes."""
        node = map_bodies(node, cancel_transposes)
        first = operands[0] if operands else None
        if node.op == "permute_dims" and first is not None:
            axes: Permutation = tuple(axis % len(first.axes) for axis in node.attrs["axes"])
            return (Pending(first.base, composed(first.axes, axes)),)
        axes = self.common(operands)
        rule = RULES.get(node.op, _elementwise if is_elementwise(node.op) else None)
        if axes and rule is not None and (sunk := rule(self, node, operands, axes)) is not None:
            return sunk
        values = tuple(None if pending is None else self.make(pending) for pending in operands)
        return [Pending(self.mark(value), identity(value.ndim)) for value in keep(node, values)]

    def common(self, operands: Operands) -> Permutation:
        """The one permutation that is pending on the operands; () if there is none, or more than one."""
        pending = {p.axes for p in operands if p is not None and p.axes != identity(len(p.axes))}
        pending -= {p.axes for p in operands if p is not None and p.base.node in self.static and len(pending) > 1}
        return pending.pop() if len(pending) == 1 else ()

    def aligned(self, pending: Pending, axes: Permutation) -> Value | None:
        """The operand in the order of axes before the transpose; None if that would cost a transpose."""
        if pending.axes == axes or not pending.axes:
            return pending.base
        missing = len(axes) - len(pending.axes)
        if not missing and (made := self.made.get((pending.base, composed(pending.axes, inverse(axes))))) is not None:
            return made  # a residual connection: the layer beside it has transposed the same tensor
        is_static = pending.base.node in self.static
        if missing < 0 or not (is_static or pending.axes == identity(len(pending.axes))):
            return None
        shape = (1,) * missing + pending.shape
        if moves_only_ones_of(shape, inverse(axes)):
            return self.reshaped(self.make(pending), tuple(shape[axis] for axis in inverse(axes)))
        if not is_static:
            return None
        return self.make(Pending(self.reshaped(self.make(pending), shape), inverse(axes)))

    def reshaped(self, value: Value, shape: tuple[Dim, ...]) -> Value:
        """The value with its axes of size 1 elsewhere, where it has any other axes."""
        if value.shape == shape or all(size == 1 for size in value.shape):
            return value
        return self.mark(reshape(value, shape=shape))

    def emit(self, node: Node, bases: Sequence[Value | None], attrs: Mapping[str, Any]) -> tuple[Value, ...]:
        """The op of `node` before the transpose."""
        moved = Node(node.op, node.inputs, attrs, node.types, node.name, node.source)
        return tuple(self.mark(value) for value in apply_op(moved, bases))


def moves_only_ones_of(shape: Sequence[Dim], axes: Permutation) -> bool:
    """`moves_only_ones`, of a shape."""
    long = [axis for axis in axes if shape[axis] != 1]
    return long == sorted(long)


Rule = Callable[[_Sinker, Node, Operands, Permutation], Sequence[Pending] | None]


def _elementwise(sinker: _Sinker, node: Node, operands: Operands, axes: Permutation) -> Sequence[Pending] | None:
    """Operands all transposed alike, or that can be put in the order before at no cost."""
    bases = [None if pending is None else sinker.aligned(pending, axes) for pending in operands]
    if any(base is None and pending is not None for base, pending in zip(bases, operands, strict=True)):
        return None
    return [Pending(value, axes) for value in sinker.emit(node, bases, node.attrs)]


def _reduction(sinker: _Sinker, node: Node, operands: Operands, axes: Permutation) -> Sequence[Pending] | None:
    """The axes are renamed; without `keepdims` they leave the permutation."""
    pending = operands[0]
    if pending is None:
        return None
    named: tuple[int, ...] | int | None = node.attrs["axis"]
    listed = identity(len(axes)) if named is None else (named,) if isinstance(named, int) else named
    moved = tuple(axes[axis] for axis in listed)
    axis = None if named is None else moved[0] if isinstance(named, int) else moved
    left = axes if node.attrs.get("keepdims") else without(axes, moved)
    return [Pending(value, left) for value in sinker.emit(node, [pending.base], {**node.attrs, "axis": axis})]


def _along_axis(sinker: _Sinker, node: Node, operands: Operands, axes: Permutation) -> Sequence[Pending] | None:
    """The axis or axes are renamed; every operand must be transposed alike."""
    bases = [None if pending is None else sinker.aligned(pending, axes) for pending in operands]
    if any(base is None or base.ndim != len(axes) for base in bases):
        return None
    name = "axes" if "axes" in node.attrs else "axis"
    named: tuple[int, ...] | int = node.attrs[name]
    moved = axes[named] if isinstance(named, int) else tuple(axes[axis] for axis in named)
    return [Pending(value, axes) for value in sinker.emit(node, bases, {**node.attrs, name: moved})]


def _per_axis(sinker: _Sinker, node: Node, operands: Operands, axes: Permutation) -> Sequence[Pending] | None:
    """The entries per axis are put in the order before the transpose; axes added in front stay in front."""
    name = PER_AXIS[node.op]
    pending, entries = operands[0], node.attrs[name]
    added = len(entries) - len(axes)
    if pending is None or added < 0 or (added and node.op != "broadcast_to"):
        return None
    order = (*range(added), *(axis + added for axis in axes))
    attrs = {**node.attrs, name: tuple(entries[axis] for axis in inverse(order))}
    return [Pending(value, order) for value in sinker.emit(node, [pending.base], attrs)]


PER_AXIS = {"pad": "padding", "tile": "repetitions", "broadcast_to": "shape"}
"""Ops with an attribute that has one entry per axis."""
RULES: dict[str, Rule] = {
    **dict.fromkeys(("sum", "prod", "max", "min", "mean", "any", "all", "logsumexp", "var"), _reduction),
    **dict.fromkeys(("argmax", "argmin", "squeeze"), _reduction),
    **dict.fromkeys(
        ("softmax", "log_softmax", "l2_normalize", "concat", "split", "slice", "flip", "roll"), _along_axis
    ),
    **dict.fromkeys(("cumulative_sum", "cumulative_prod", "cumulative_max", "cumulative_min"), _along_axis),
    **dict.fromkeys(PER_AXIS, _per_axis),
    "dropout": _elementwise,
}
"""How a transpose passes through an op, elementwise ones apart."""


def is_elementwise(op: str) -> bool:
    """Whether an op gives each element from the elements at its place."""
    spec = REGISTRY.get(op)
    return spec is not None and spec.reference.__module__.rpartition(".")[2] in ELEMENTWISE and "axis" not in spec.attrs


def without(axes: Permutation, removed: Sequence[int]) -> Permutation:
    """The permutation left when some axes of the base are reduced away, renumbered."""
    kept = [axis for axis in axes if axis not in removed]
    order = sorted(kept)
    return tuple(order.index(axis) for axis in kept)
