"""Expand what a target does not take natively, until only what it takes remains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kxchange.errors import Blocker, TypeInferenceError, UnsupportedOpError
from kxchange.graph import LEAVES, Graph, Node, Value, emitting, interpret, topological_order
from kxchange.passes.bodies import map_bodies
from kxchange.spec import REGISTRY, as_tuple, keep
from kxchange.table import Table

Supports = Callable[[Node], bool]


def legalize(graph: Graph, supports: Supports, target: str, expansions: Table | None = None) -> Graph:
    """Decompose every node that `target` cannot take, recursively, also inside control flow.

    ``gelu(x)`` becomes ``multiply(x, ...)`` where the target has no gelu. Untouched nodes keep their identity.

    Args:
        graph: What to legalize.
        supports: Whether the target takes a node as it is.
        target: Name of the converter, for messages.
        expansions: The target's own decompositions (Values in, Values out, other canonical ops), taken before the
            spec's: a primitive that the target has only as a combination, or a form that runs better there.

    Raises:
        UnsupportedOpError: primitives without a rule, all of them, each with its places.
    """
    return Legalizer(supports, target, expansions).run(graph)


class Legalizer:
    """One legalization: collects every blocker before it fails."""

    def __init__(self, supports: Supports, target: str, expansions: Table | None = None) -> None:
        self.supports = supports
        self.target = target
        self.expansions = expansions
        self.places: dict[tuple[str, str], list[str]] = {}

    def run(self, graph: Graph) -> Graph:
        """Legalize `graph`; raise with all blockers if there are any."""
        result = self.expand_graph(graph)
        if self.places:
            blockers = [Blocker(op, reason, tuple(places)) for (op, reason), places in self.places.items()]
            raise UnsupportedOpError(
                self.target,
                blockers,
                f"Add a rule to the lowering table of converters/kxchange_{self.target}, or use another backend.",
            )
        return result

    def expand_graph(self, graph: Graph) -> Graph:
        """`graph` with every node expanded; the same object if nothing changed."""
        outputs = interpret(graph, graph.inputs, self._apply)
        return graph if outputs == graph.outputs else Graph(graph.inputs, outputs)

    def _apply(self, node: Node, operands: Sequence[Value | None]) -> Sequence[Value]:
        return self._settle(map_bodies(node, self.expand_graph), tuple(operands))

    def _settle(self, node: Node, operands: tuple[Value | None, ...]) -> Sequence[Value]:
        current = keep(node, operands)
        legal = current[0].node if current else node
        if node.op in LEAVES or self.supports(legal):
            return current
        rule = self._rule(legal)
        if rule is None:
            return self._blocked(legal, "it is a primitive, so it has no decomposition")
        try:
            with emitting(legal.name, legal.source):
                outputs = as_tuple(rule(*legal.inputs, **legal.attrs))
        except TypeInferenceError as error:
            return self._blocked(legal, str(error))
        return self._expand(outputs, legal)

    def _rule(self, node: Node) -> Callable[..., Any] | None:
        """What `node` is written in other ops: the target's own expansion, else the spec's decomposition."""
        if self.expansions is not None and self.expansions.supports(node):
            return self.expansions.entries[node.op].rule
        return REGISTRY[node.op].decompose_rule

    def _expand(self, outputs: Sequence[Value], node: Node) -> Sequence[Value]:
        """The values of a decomposition of `node` with every node of it expanded; the operands are legal already."""
        done: dict[Node, Sequence[Value]] = {v.node: v.node.outputs for v in node.inputs if v is not None}
        for inner in topological_order(outputs, list(done)):
            operands = [None if value is None else done[value.node][value.index] for value in inner.inputs]
            done[inner] = self._apply(inner, operands)
        return [done[value.node][value.index] for value in outputs]

    def _blocked(self, node: Node, reason: str) -> Sequence[Value]:
        self.places.setdefault((node.op, reason), []).append(str(node.source or "") or node.name or "unnamed node")
        return node.outputs
