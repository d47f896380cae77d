"""From the nodes of a graph to terms in normal form, one rule per op."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from kxchange.constant import Constant
from kxchange.dims import Dim, DimExpr
from kxchange.graph import LEAVES, Graph, Node, Value
from kxchange.passes.recompose_terms import Term, Terms, axis_map, is_pointwise
from kxchange.types import DType

Rule = Callable[[Terms, Node, list[Term]], Term]
Build = Callable[[list[Term], tuple[Dim, ...]], Term]
UNIFORM = 4096
"""Elements up to which a constant array is looked through for being one number."""


class Normal:
    """A graph with the term of every value, and what the search for claims asks of its nodes.

    Attributes:
        terms: The table of terms.
        position: Place of each node in topological order.
        users: Nodes that read each node.
        outputs: Nodes whose values the graph returns.
        static: Nodes that depend on no input.
        sourceless: Nodes that depend on neither an input nor a parameter.
    """

    def __init__(self, graph: Graph) -> None:
        self.terms = Terms()
        self.users = graph.users()
        self.outputs = {value.node for value in graph.outputs}
        self.position: dict[Node, int] = {value.node: -1 for value in graph.inputs}
        self.static: set[Node] = set()
        self.sourceless: set[Node] = set()
        self._of: dict[Node, tuple[Term, ...]] = {}
        self._reads = Counter(v for node in graph.nodes() for v in node.inputs if v is not None)
        self._reads.update(graph.outputs)
        for value in graph.inputs:
            self._of[value.node] = (self._leaf(value),)
        for position, node in enumerate(graph.nodes()):
            self._add(position, node)

    def term(self, value: Value) -> Term:
        """The term of a value of the graph."""
        return self._of[value.node][value.index]

    def _add(self, position: int, node: Node) -> None:
        self.position[node] = position
        producers = [value.node for value in node.inputs if value is not None]
        if node.op not in LEAVES and all(producer in self.sourceless for producer in producers):
            self.sourceless.add(node)
        if node.op == "parameter" or (node.op != "input" and all(producer in self.static for producer in producers)):
            self.static.add(node)
        self._of[node] = tuple(self._assign(value) for value in node.outputs)

    def _assign(self, value: Value) -> Term:
        node = value.node
        if node.op in LEAVES:
            return self._leaf(value)
        args = [self._absent() if operand is None else self.term(operand) for operand in node.inputs]
        if node.op == "subtract" and self._is_learned(node.inputs[1]):
            args[0].once = False  # statistics are subtracted from one tensor, though it be a sum
        rule = normal_rule(node.op) if len(node.types) == 1 and not any(arg.head == "none" for arg in args) else None
        if node.op in ARITHMETIC and not value.dtype.is_floating:
            rule = None
        term = opaque(self.terms, value, args) if rule is None else rule(self.terms, node, args)
        return self._name(term, value)

    def _is_learned(self, value: Value | None) -> bool:
        return value is not None and value.node in self.static and value.node not in self.sourceless

    def _leaf(self, value: Value) -> Term:
        term = self.terms.make(value.node.op, (), (str(value.node.attrs["name"]),), value.shape, value.dtype)
        return self._name(term, value)

    def _absent(self) -> Term:
        return self.terms.make("none", (), (), (), DType.BOOL)

    def _name(self, term: Term, value: Value) -> Term:
        # An identity of a value read once is still read once; another node with the same term is a second reader.
        identity = any(v is not None and self.term(v) is term for v in value.node.inputs)
        term.once = (term.once if identity else term.value is None) and self._reads[value] <= 1
        term.value = term.value or value
        if term.head == "view" and term.args[0].alternate is None:
            term.args[0].alternate = value
        return term


def opaque(terms: Terms, value: Value, args: Sequence[Term]) -> Term:
    """An op that matching does not look into."""
    node = value.node
    head = node.op if len(node.types) == 1 else f"{node.op}:{value.index}"
    return terms.make(head, args, tuple(node.attrs.values()), value.shape, value.dtype)


RULES: dict[str, Rule] = {}
ARITHMETIC = frozenset({"add", "subtract", "multiply", "divide", "negative", "reciprocal", "sqrt", "rsqrt", "square"})
"""Ops whose terms are sums, products and powers: of floats, where integers would wrap or truncate."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register the normal form of ops."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def pointwise(terms: Terms, args: Sequence[Term], shape: tuple[Dim, ...], build: Build) -> Term:
    """An elementwise term: on operands without needless broadcasts; of views, the view of one."""
    aligned = [_aligned(terms, arg, len(shape)) for arg in args]
    operands = aligned if _covers(aligned, shape) else list(args)
    wide = [operand for operand in operands if operand.shape == shape]
    bases = {operand.args[0].shape if operand.head == "view" else shape for operand in wide}
    if len(bases) != 1 or shape in bases or not shape:
        return build(operands, shape)
    frame = bases.pop()
    inner = [_reframed(terms, operand, shape, frame) for operand in operands]
    return build(operands, shape) if None in inner else terms.reshape(build(_present(inner), frame), shape)


def _reframed(terms: Terms, operand: Term, shape: tuple[Dim, ...], frame: tuple[Dim, ...]) -> Term | None:
    """An operand of a broadcast to `shape`, for a broadcast to a view of that shape."""
    if len(operand.shape) != len(shape):
        return operand if operand.shape == () else None
    sizes: list[Dim] = [1] * len(frame)
    for axis, place in axis_map(shape, frame).items():
        sizes[place] = operand.shape[axis]
    return terms.reshape(operand, tuple(sizes))


def _present(found: Sequence[Term | None]) -> list[Term]:
    return [term for term in found if term is not None]


def _aligned(terms: Terms, arg: Term, rank: int) -> Term:
    """An operand without the stretching that broadcasting does anyway, and with all axes: 1 in front where absent."""
    if arg.head == "broadcast_to":
        arg = arg.args[0]
    if arg.head == "const":
        return terms.const(arg.data[0], (), arg.dtype)
    missing = rank - len(arg.shape)
    return arg if arg.head == "dim" or not missing else terms.reshape(arg, (*(1,) * missing, *arg.shape))


def _covers(operands: Sequence[Term], shape: tuple[Dim, ...]) -> bool:
    """Whether broadcasting the operands gives `shape`, with every size standing in some operand."""
    return all(
        any(len(o.shape) >= back and o.shape[-back] == shape[-back] for o in operands)
        for back in range(1, len(shape) + 1)
    )


@rule("add", "subtract")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    sign = 1.0 if node.op == "add" else -1.0
    return pointwise(terms, args, node.types[0].shape, lambda xs, s: terms.total([(xs[0], 1.0), (xs[1], sign)], s))


@rule("multiply", "divide")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    exponent = 1.0 if node.op == "multiply" else -1.0
    return pointwise(
        terms, args, node.types[0].shape, lambda xs, s: terms.product([(xs[0], 1.0), (xs[1], exponent)], s)
    )


@rule("negative")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    return pointwise(terms, args, node.types[0].shape, lambda xs, _: terms.scaled(xs[0], -1.0))


EXPONENTS = {"reciprocal": -1.0, "sqrt": 0.5, "rsqrt": -0.5, "square": 2.0}


@rule(*EXPONENTS)
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    return pointwise(terms, args, node.types[0].shape, lambda xs, _: terms.power(xs[0], EXPONENTS[node.op]))


@rule("pow")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    base, exponent = args
    if exponent.head == "const" and base.shape == node.types[0].shape and base.dtype.is_floating:
        return pointwise(terms, [base], base.shape, lambda xs, _: terms.power(xs[0], float(exponent.data[0])))
    return _plain(terms, node, args)


@rule("maximum", "minimum")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    neutral = -math.inf if node.op == "maximum" else math.inf
    kept = [arg for arg in args if arg.head != "const" or arg.data[0] != neutral]
    sizes = [arg for arg in kept if arg.head == "dim"]
    if node.op == "maximum" and len(sizes) == 1 and all(arg in sizes or arg.data == (0.0,) for arg in kept):
        return sizes[0]
    if len(kept) == 1:
        return terms.broadcast(kept[0], node.types[0].shape)
    return _plain(terms, node, sorted(args, key=lambda arg: (arg.head == "const", arg.uid)))


@rule("relu")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    zero = terms.const(0.0 if args[0].dtype.is_floating else 0, (), args[0].dtype)
    return pointwise(
        terms, [args[0], zero], args[0].shape, lambda xs, s: terms.make("maximum", xs, (), s, args[0].dtype)
    )


COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}


@rule(*COMPARISONS)
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    left, right = args
    if left.head == right.head == "const":
        return terms.const(COMPARISONS[node.op](left.data[0], right.data[0]), node.types[0].shape, DType.BOOL)
    if node.op == "greater" and left.head == "dim" and right.data == (0.0,):
        return terms.const(True, node.types[0].shape, DType.BOOL)
    return _plain(terms, node, args)


@rule("where")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    if args[0].head == "const":
        return terms.broadcast(args[1] if args[0].data[0] else args[2], node.types[0].shape)
    return _plain(terms, node, args)


@rule("abs")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    inner = args[0].args[0] if args[0].head == "view" else args[0]
    if inner.head == "sum" and inner.args[0].head == "exp":
        return args[0]
    return _plain(terms, node, args)


@rule("astype")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    (x,) = args
    dtype: DType = node.attrs["dtype"]
    if dtype is x.dtype:
        return x
    narrow = _narrow_reduction(terms, x, dtype)
    if narrow is not None:
        return narrow
    if x.head in ("const", "dim") and dtype.is_floating and not x.dtype.is_bool:
        data = (float(x.data[0]),) if x.head == "const" else x.data
        return terms.make(x.head, (), data, x.shape, dtype)
    return opaque(terms, node.outputs[0], args)


def _narrow_reduction(terms: Terms, x: Term, dtype: DType) -> Term | None:
    """A sum or mean computed in a wider type and rounded once: what the op does by itself on 16-bit floats."""
    inner = x.args[0] if x.head == "view" else x
    if inner.head not in ("sum", "mean") or inner.args[0].head != "astype" or dtype.bits > 16:
        return None
    source = inner.args[0].args[0]
    if source.dtype is not dtype or not dtype.is_floating or not x.dtype.is_floating:
        return None
    return terms.reshape(terms.reduce(inner.head, source, inner.data[0]), x.shape)


@rule("full")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    value, type = node.attrs["value"], node.types[0]
    if isinstance(value, DimExpr):
        return terms.make("dim", (), (value,), type.shape, type.dtype)
    if type.dtype.is_complex:
        return opaque(terms, node.outputs[0], args)
    return terms.const(float(value) if type.dtype.is_floating else value, type.shape, type.dtype)


@rule("constant")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    held: Constant = node.attrs["value"]
    type, array = node.types[0], held.array
    if 0 < array.size <= UNIFORM and type.dtype.is_floating:
        flat = array.astype(np.float64).reshape(-1)
        if np.all(flat == flat[0]):
            return terms.const(float(flat[0]), type.shape, type.dtype)
    return opaque(terms, node.outputs[0], args)


@rule("sum", "mean", "max", "min", "prod")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    axes = axes_of(node, args[0])
    return terms.reshape(terms.reduce(node.op, args[0], axes), node.types[0].shape) if axes else args[0]


@rule("var")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    (x,) = args
    axes = axes_of(node, x)
    if node.attrs["correction"] != 0 or not axes:
        return opaque(terms, node.outputs[0], args)
    centred = terms.total([(x, 1.0), (terms.reduce("mean", x, axes), -1.0)], x.shape)
    return terms.reshape(terms.reduce("mean", terms.power(centred, 2.0), axes), node.types[0].shape)


def axes_of(node: Node, x: Term) -> tuple[int, ...]:
    """The reduced axes, sorted and counted from the front."""
    rank = len(x.shape)
    named: tuple[int, ...] | None = node.attrs["axis"]
    return tuple(range(rank)) if named is None else tuple(sorted(axis % rank for axis in named))


@rule("softmax", "log_softmax")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    (x,) = args
    axis: int = node.attrs["axis"] % max(len(x.shape), 1)
    if x.head == "view" and axis in (places := axis_map(x.shape, x.args[0].shape)):
        base = x.args[0]
        return terms.reshape(terms.make(node.op, (base,), (places[axis],), base.shape, x.dtype), x.shape)
    return terms.make(node.op, args, (axis,), x.shape, x.dtype)


@rule("logsumexp")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    return terms.reshape(terms.reduce(node.op, args[0], axes_of(node, args[0])), node.types[0].shape)


@rule("reshape", "squeeze", "expand_dims")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    return terms.reshape(args[0], node.types[0].shape)


@rule("einsum")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    product = contraction(terms, node.attrs["equation"], args)
    return opaque(terms, node.outputs[0], args) if product is None else terms.reshape(product, node.types[0].shape)


def contraction(terms: Terms, equation: str, args: list[Term]) -> Term | None:
    """A sum of products of two tensors as a product of matrices; None where it is none. Axes of size 1 do not count."""
    if len(args) != 2:
        return None
    left, _, output = equation.partition("->")
    sides = left.split(",")
    if any(len(set(side)) < len(side) for side in sides):
        return None
    sizes = {
        name: size for side, arg in zip(sides, args, strict=True) for name, size in zip(side, arg.shape, strict=True)
    }
    first, second, output = ("".join(c for c in text if sizes[c] != 1) for text in (*sides, output))
    batch = "".join(c for c in first if c in second and c in output)
    inner = "".join(c for c in first if c in second and c not in output)
    rows = "".join(c for c in first if c not in second)
    columns = "".join(c for c in second if c not in first)
    few = len(inner) == len(columns) == 1 and (len(rows) == 1 or (rows and not batch))
    if not few or not set(rows + columns) <= set(output):
        return None
    orders = (batch + rows + inner, batch + inner + columns)
    flat = [terms.reshape(arg, tuple(sizes[c] for c in text)) for arg, text in zip(args, (first, second), strict=True)]
    x1, x2 = (
        terms.permute(arg, tuple(text.index(c) for c in order))
        for arg, text, order in zip(flat, (first, second), orders, strict=True)
    )
    result = batch + rows + columns
    made = terms.make("matmul", (x1, x2), (), tuple(sizes[c] for c in result), args[0].dtype)
    return terms.permute(made, tuple(result.index(c) for c in output))


@rule("permute_dims")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    rank = len(args[0].shape)
    return terms.permute(args[0], tuple(axis % rank for axis in node.attrs["axes"]))


@rule("broadcast_to")
def _(terms: Terms, node: Node, args: list[Term]) -> Term:
    return terms.broadcast(args[0], node.types[0].shape)


def _plain(terms: Terms, node: Node, args: list[Term]) -> Term:
    """An elementwise op that is its own head."""
    type = node.types[0]
    data = tuple(node.attrs.values())
    return pointwise(terms, args, type.shape, lambda xs, s: terms.make(node.op, xs, data, s, type.dtype))


def normal_rule(op: str) -> Rule | None:
    """The rule of an op; elementwise ops without one of their own are their own heads."""
    return RULES.get(op) or (_plain if is_pointwise(op) else None)
