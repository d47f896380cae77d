"""Passes are linear in nodes: function calls are counted, since a clock on a loaded machine proves nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from kxchange import ops
from kxchange.graph import Graph
from kxchange.passes.cancel_transposes import cancel_transposes
from kxchange.passes.common_subexpressions import merge_common_subexpressions
from kxchange.passes.dead_code import drop_unread_operands
from kxchange.passes.fold_constants import fold_constants
from kxchange.passes.legalize import legalize
from kxchange.passes.recompose import catalogue, recompose
from kxchange.passes.simplify import simplify
from kxchange.spec import REGISTRY
from tests.passes.graphs import chain, graph, names, tensor, transformer

FACTOR = 4
ALLOWED = 1.15
"""How much more than proportionally the calls may grow: what is done once makes it less than 1."""


def sum_of_many(length: int) -> Graph:
    """One long sum, and one tensor that everything reads."""
    x = y = tensor("x", "float32[b, s]")
    for _ in range(length // 2):
        y = ops.add(y, ops.sin(x))
    return graph(x, y)


def reshapes(length: int) -> Graph:
    x = y = tensor("x", "float32[b, 2, 3]")
    for index in range(length):
        y = ops.reshape(y, shape=(x.shape[0], 6) if index % 2 else (x.shape[0], 3, 2))
    return graph(x, y)


PASSES: dict[str, Callable[[Graph], Graph]] = {
    "simplify": simplify,
    "recompose": recompose,
    "merge_common_subexpressions": merge_common_subexpressions,
    "drop_unread_operands": drop_unread_operands,
    "fold_constants": fold_constants,
    "cancel_transposes": cancel_transposes,
    "legalize": lambda g: legalize(g, lambda node: REGISTRY[node.op].primitive, "primitives"),
}
GRAPHS: dict[str, Callable[[int], Graph]] = {
    "chain": lambda size: chain(200 * size),
    "sum": lambda size: sum_of_many(200 * size),
    "reshapes": lambda size: reshapes(200 * size),
    "transformer": lambda size: transformer(3 * size),
}


def calls(function: Callable[[], object]) -> int:
    counted = 0

    def count(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize("run", PASSES.values(), ids=PASSES)
@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_linear_in_nodes(make: Callable[[int], Graph], run: Callable[[Graph], Graph]) -> None:
    catalogue()  # made once per process
    small, large = make(1), make(FACTOR)
    for each in (small, large):
        each.nodes()
    proportion = len(large.nodes()) / len(small.nodes())
    assert calls(lambda: run(large)) <= ALLOWED * proportion * calls(lambda: run(small))


def test_a_quadratic_pass_is_found() -> None:
    def quadratic(g: Graph) -> None:
        for node in g.nodes():
            list(map(lambda other: other is node, g.nodes()))  # noqa: C417 - the call is what counts

    small, large = chain(100), chain(400)
    assert calls(lambda: quadratic(large)) > ALLOWED * 4 * calls(lambda: quadratic(small))


@pytest.mark.parametrize("size", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("run", PASSES.values(), ids=PASSES)
def test_deep_graphs_need_no_recursion(run: Callable[[Graph], Graph], size: int) -> None:
    before = chain(size)
    assert len(run(before).nodes()) == len(before.nodes())


def test_recompose_of_a_hundred_layers() -> None:
    after = recompose(transformer(100))
    assert names(after).count("scaled_dot_product_attention") == 100


def test_equal_layers_are_proven_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from kxchange.passes.recompose_proof import Prover

    made: list[Prover] = []
    first = Prover.__init__

    def note(self: Prover, normal: Any) -> None:
        made.append(self)
        first(self, normal)

    monkeypatch.setattr(Prover, "__init__", note)
    recompose(transformer(2))
    few = sum(prover.trials for prover in made)
    made.clear()
    recompose(transformer(20))
    assert sum(prover.trials for prover in made) == few
