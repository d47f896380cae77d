"""Find composite ops that the source dissolved, and put them back whole."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from kxchange.graph import Graph, Node, Value, interpret
from kxchange.passes.bodies import map_bodies
from kxchange.passes.recompose_activations import activations, reductions
from kxchange.passes.recompose_catalogue import Catalogue
from kxchange.passes.recompose_claims import Claim, claims_on
from kxchange.passes.recompose_normal import Normal
from kxchange.passes.recompose_norms import norms
from kxchange.passes.recompose_products import products
from kxchange.passes.recompose_proof import Prover
from kxchange.spec import keep

ROUNDS = 8
"""Most times that a graph is searched: attention is found around a softmax that the round before has found."""


def recompose(graph: Graph) -> Graph:
    """Put composite ops back together: ``x * sigmoid(x)`` becomes ``silu(x)``, also inside control flow.

    Matching is on a normal form, rewriting on the nodes: what is not claimed keeps its identity. The largest match is
    taken first and a node is claimed once; a node that something outside of the match reads is not claimed. A match
    counts only if both sides, computed in float64 on small random operands, are equal. Linear in nodes.
    """
    for _ in range(ROUNDS):
        after = _recompose_bodies(recompose_once(graph))
        if after is graph:
            break
        graph = after
    return graph


def recompose_once(graph: Graph) -> Graph:
    """One search and the rewriting of what it found; the same graph if it found nothing."""
    normal = Normal(graph)
    chosen = _choose(graph, normal)
    return _replace(graph, chosen) if chosen else graph


@cache
def catalogue() -> Catalogue:
    """Every composite op that is looked for."""
    return Catalogue((*activations(), *reductions(), *norms(), *products()))


def _choose(graph: Graph, normal: Normal) -> dict[Value, Claim]:
    """Claims that hold and do not overlap, the largest first."""
    found = [
        claim for node in graph.nodes() for value in node.outputs for claim in claims_on(value, normal, catalogue())
    ]
    found.sort(key=lambda claim: -len(claim.claimed))
    prover = Prover(normal)
    chosen: dict[Value, Claim] = {}
    taken, gone, needed = set[Node](), set[Node](), set[Node]()
    for claim in found:
        inner = claim.claimed - {claim.root.node}
        operands = {value.node for value in claim.operands}
        free = taken.isdisjoint(claim.claimed) and needed.isdisjoint(inner) and gone.isdisjoint(operands)
        if free and prover.holds(claim):
            chosen[claim.root] = claim
            taken |= claim.claimed
            gone |= inner
            needed |= operands
    return chosen


def _replace(graph: Graph, chosen: dict[Value, Claim]) -> Graph:
    """The graph with the root of each claim computed whole."""
    done: dict[Node, Sequence[Value]] = {value.node: (value,) for value in graph.inputs}

    def apply(node: Node, operands: list[Value | None]) -> Sequence[Value]:
        results: Sequence[Value] = keep(node, tuple(operands))
        claim = chosen.get(Value(node))
        if claim is not None:
            results = (_rebuild(claim, done),)
        done[node] = results
        return results

    return Graph(graph.inputs, interpret(graph, graph.inputs, apply))


def _rebuild(claim: Claim, done: dict[Node, Sequence[Value]]) -> Value:
    """The whole op on the operands as they are now; it inherits what the dissolved nodes needed of the sizes."""
    made: dict[Node, Sequence[Value]] = {}
    for node in claim.added:
        operands = [None if v is None else (made.get(v.node) or done[v.node])[v.index] for v in node.inputs]
        results: Sequence[Value] = keep(node, tuple(operands))
        made[node] = _constrained(results[0].node, claim).outputs if node.op == claim.op else results
    return made[claim.whole.node][claim.whole.index]


def _constrained(node: Node, claim: Claim) -> Node:
    found = tuple(dict.fromkeys(c for each in (*claim.dissolved, node) for c in each.constraints))
    if found == node.constraints:
        return node
    return Node(node.op, node.inputs, node.attrs, node.types, node.name, node.source, found)


def _recompose_bodies(graph: Graph) -> Graph:
    def apply(node: Node, operands: list[Value | None]) -> Sequence[Value]:
        return keep(map_bodies(node, recompose), tuple(operands))

    outputs = interpret(graph, graph.inputs, apply)
    return graph if outputs == graph.outputs else Graph(graph.inputs, outputs)
