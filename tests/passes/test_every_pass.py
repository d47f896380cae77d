"""Every pass keeps what a graph computes, its types, and what it does not touch; a second run finds nothing to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from kxchange.graph import Graph
from kxchange.model import Function, Model, Parameter
from kxchange.passes.cancel_transposes import cancel_transposes
from kxchange.passes.canonicalize import canonicalize_graph
from kxchange.passes.common_subexpressions import merge_common_subexpressions
from kxchange.passes.dead_code import drop_unread_operands
from kxchange.passes.fold_constants import fold_constants
from kxchange.passes.fold_parameters import fold_parameters
from kxchange.passes.legalize import legalize
from kxchange.passes.recompose import recompose
from kxchange.passes.simplify import simplify
from kxchange.reference import evaluate
from kxchange.spec import REGISTRY
from tests.passes.graphs import GRAPHS, assert_same, chain, graph, tensor

Pass = Callable[[Graph], Graph]


def to_primitives(g: Graph) -> Graph:
    return legalize(g, lambda node: REGISTRY[node.op].primitive, "primitives")


PASSES: dict[str, Pass] = {
    "simplify": simplify,
    "recompose": recompose,
    "merge_common_subexpressions": merge_common_subexpressions,
    "canonicalize": canonicalize_graph,
    "drop_unread_operands": drop_unread_operands,
    "fold_constants": fold_constants,
    "cancel_transposes": cancel_transposes,
    "legalize": to_primitives,
}


@pytest.mark.parametrize("run", PASSES.values(), ids=PASSES)
@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_values_and_types_stay(make: Callable[[], Graph], run: Pass) -> None:
    before = make()
    assert_same(before, run(before))


@pytest.mark.parametrize("run", PASSES.values(), ids=PASSES)
@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_a_second_run_changes_nothing(make: Callable[[], Graph], run: Pass) -> None:
    after = run(make())
    assert run(after) is after


@pytest.mark.parametrize("run", PASSES.values(), ids=PASSES)
def test_nothing_to_do_gives_the_same_object(run: Pass) -> None:
    before = chain(40)
    assert run(before) is before


@pytest.mark.parametrize("run", PASSES.values(), ids=PASSES)
def test_an_input_may_be_an_output(run: Pass) -> None:
    x = tensor("x", "float32[b]")
    before = graph(x, x)
    assert run(before) is before


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_fold_parameters_keeps_values(make: Callable[[], Graph]) -> None:
    before = make()
    reads = {n.attrs["name"]: n.types[0] for n in before.nodes() if n.op == "parameter"}
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(t.shape).astype(np.float32) for name, t in reads.items()}
    after, derived = fold_parameters(before, {name: Parameter(name, array) for name, array in arrays.items()})
    folded = arrays | {name: each.compute(arrays) for name, each in derived.items()}
    inputs = [rng.standard_normal(_shape(v.shape)).astype(v.dtype.numpy) for v in before.inputs]
    for a, b in zip(_run(before, inputs, arrays), _run(after, inputs, folded), strict=True):
        np.testing.assert_array_equal(a, b)


def _shape(dims: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else 2 for dim in dims)


def _run(g: Graph, inputs: list[Any], weights: Mapping[str, Any]) -> tuple[Any, ...]:
    return evaluate(g, inputs, weights)


def test_passes_run_on_a_model() -> None:
    model = Model({"main": Function(GRAPHS["parts"](), ("a", "b", "c", "d"))})
    assert model.map_graphs(simplify).output_names == ("a", "b", "c", "d")
