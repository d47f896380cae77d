"""Claims: the nodes of the graph that one composite op would replace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from kxchange.errors import KxchangeError
from kxchange.graph import LEAVES, Node, Value, emitting, topological_order
from kxchange.ops.manipulation import permute_dims, reshape
from kxchange.passes.recompose_catalogue import Catalogue, Composite
from kxchange.passes.recompose_found import Found
from kxchange.passes.recompose_match import Bindings, matches
from kxchange.passes.recompose_normal import Normal
from kxchange.passes.recompose_terms import Term, core

REACH = 100
"""Nodes that one claim may take: beyond, a pattern has lost its operands and the walk never ends."""
FREE = frozenset({"reshape", "squeeze", "expand_dims", "broadcast_to"})
"""Ops that cost nothing to keep beside a composite op that does without them."""
TRIES = 4
"""Readings of one pattern on one term that are looked at."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One match that can be put together.

    Attributes:
        op: Name of the composite op.
        root: The value to replace.
        whole: What to replace it by, on values of the graph.
        dissolved: Nodes that compute the root from `operands`, in topological order.
        claimed: Those of them that would be gone; what depends on no input may be read elsewhere, too.
        operands: Values of the graph that `whole` reads.
        same: Values met on the way that are an operand, but for axes of size 1, and that operand.
        slack: Largest relative distance between a constant of the graph and the pattern's.
    """

    op: str
    root: Value
    whole: Value
    dissolved: tuple[Node, ...]
    claimed: frozenset[Node]
    operands: tuple[Value, ...]
    same: dict[Value, Value]
    slack: float

    @property
    def added(self) -> list[Node]:
        """The nodes that `whole` brings, in topological order."""
        return list(topological_order((self.whole,), (value.node for value in self.operands)))


def claims_on(root: Value, normal: Normal, catalogue: Catalogue) -> Iterator[Claim]:
    """Every claim that ends in `root`."""
    for form in _forms(normal.term(root)):
        for composite, pattern in catalogue.possible(form):
            if composite.op == root.node.op:
                continue
            for found in islice(matches(pattern, form, Bindings()), TRIES):
                claim = _claim(root, form, composite, found, normal)
                if claim is not None:
                    yield claim
                    break


def _forms(term: Term) -> list[Term]:
    """The term, and what it is a view of, or a permutation that no node of the graph makes."""
    forms = [term]
    while term.head == "view" or (term.head == "permute_dims" and term.args[0].value is None):
        term = term.args[0]
        forms.append(term)
    return forms


def _claim(root: Value, form: Term, composite: Composite, bindings: Bindings, normal: Normal) -> Claim | None:
    try:
        with emitting(root.node.name, root.node.source):
            whole = composite.build(Found(root, form, bindings.names, normal))
            whole = _shaped_as(root, whole, form, normal)
    except KxchangeError:
        return None
    if whole.type != root.type or whole.node in normal.position:
        return None
    operands = _operands(whole, normal)
    last = normal.position[root.node]
    if any(normal.position[value.node] >= last for value in operands):
        return None
    return _cut(composite.op, root, whole, operands, normal, bindings.slack)


def _shaped_as(root: Value, whole: Value, form: Term, normal: Normal) -> Value:
    """The composite under the views and permutations that were looked through."""
    forms = _forms(normal.term(root))
    layers = forms[: forms.index(form)]
    if whole.type == root.type and all(layer.head == "view" for layer in layers):
        return whole  # the composite took the shape itself
    for layer in reversed(layers):
        viewed = layer.head == "view"
        whole = reshape(whole, shape=layer.shape) if viewed else permute_dims(whole, axes=layer.data[0])
    return whole


def _operands(whole: Value, normal: Normal) -> tuple[Value, ...]:
    """The values of the graph that new nodes read."""
    found: dict[Value, None] = {}
    seen: set[Node] = set()
    pending = [whole]
    while pending:
        value = pending.pop()
        if value.node in normal.position:
            found[value] = None
        elif value.node not in seen:
            seen.add(value.node)
            pending += [operand for operand in reversed(value.node.inputs) if operand is not None]
    return tuple(found)


def _cut(op: str, root: Value, whole: Value, operands: tuple[Value, ...], normal: Normal, slack: float) -> Claim | None:
    """Walk back from the root to the operands; None if it misses one, or if something else reads what is between."""
    known = {core(normal.term(value)): value for value in operands}
    same: dict[Value, Value] = {}
    between: set[Node] = {root.node}
    pending = [value for value in root.node.inputs if value is not None]
    while pending:
        value = pending.pop()
        operand = known.get(core(normal.term(value)))
        if operand is not None:
            same[value] = operand
        elif value.node.op in LEAVES or len(between) > REACH:
            return None
        elif value.node not in between:
            between.add(value.node)
            pending += [each for each in value.node.inputs if each is not None]
    dissolved = tuple(sorted(between, key=normal.position.__getitem__))
    claimed = _claimed(dissolved, root.node, normal)
    return None if claimed is None else Claim(op, root, whole, dissolved, claimed, operands, same, slack)


def _claimed(dissolved: tuple[Node, ...], root: Node, normal: Normal) -> frozenset[Node] | None:
    """The nodes that nothing would read any more; None if work would be done twice.

    What depends on no input and what only reshapes may stay for other readers at no cost.
    """
    left: set[Node] = set(dissolved)
    for node in reversed(dissolved):
        if node is root or (node not in normal.outputs and all(user in left for user in normal.users[node])):
            continue
        left.discard(node)
        if node not in normal.static and node.op not in FREE:
            return None
    return frozenset(node for node in left if node not in normal.static or node is root)
