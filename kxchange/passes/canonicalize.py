"""What every lift ends with: the same model in its most telling form."""

from __future__ import annotations

from typing import overload

from kxchange.graph import Graph
from kxchange.model import Model
from kxchange.passes.common_subexpressions import merge_common_subexpressions
from kxchange.passes.recompose import recompose
from kxchange.passes.simplify import simplify

ROUNDS = 8
"""Most times that the passes follow each other; two or three are usual, the last of them changing nothing."""


@overload
def canonicalize(model: Model) -> Model: ...
@overload
def canonicalize(model: Graph) -> Graph: ...
def canonicalize(model: Model | Graph) -> Model | Graph:
    """The model with identities dropped, composite ops put back whole and equal expressions computed once.

    Args:
        model: A model, all of whose functions are treated; or one graph.

    Returns:
        The same object, evidence and all, where there was nothing to do.
    """
    if isinstance(model, Graph):
        return canonicalize_graph(model)
    graphs = {name: canonicalize_graph(function.graph) for name, function in model.functions.items()}
    if all(graphs[name] is function.graph for name, function in model.functions.items()):
        return model
    return model.replace(functions={name: f.with_graph(graphs[name]) for name, f in model.functions.items()})


def canonicalize_graph(graph: Graph) -> Graph:
    """One graph, to a fixed point of `simplify`, `recompose` and `merge_common_subexpressions`."""
    settled: Graph | None = None
    for _ in range(ROUNDS):
        simple = simplify(graph)
        # What `recompose` has returned holds nothing more for it.
        settled = simple if simple is settled else recompose(simple)
        after = merge_common_subexpressions(settled)
        if after is graph:
            break
        graph = after
    return graph
