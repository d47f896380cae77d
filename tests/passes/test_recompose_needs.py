"""What rules a pattern out before it is tried never rules out one that would match."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kxchange import ops
from kxchange.graph import Graph
from kxchange.passes.legalize import legalize
from kxchange.passes.recompose import catalogue
from kxchange.passes.recompose_match import Bindings, matches, needs
from kxchange.passes.recompose_normal import Normal
from kxchange.passes.recompose_terms import Term
from kxchange.spec import REGISTRY
from tests.passes.graphs import graph, tensor, transformer


def activations() -> Graph:
    """Every activation and norm that is looked for, dissolved."""
    x = tensor("x", "float32[b, s, 8]")
    found = [getattr(ops, name)(x) for name in ("relu6", "silu", "mish", "log_sigmoid", "hard_swish")]
    found += [ops.leaky_relu(x, negative_slope=0.1), ops.elu(x, alpha=1.5)]
    found += [ops.gelu(x, approximate=kind) for kind in ("none", "tanh")]
    found += [
        ops.softmax(x, axis=-1),
        ops.log_softmax(x, axis=1),
        ops.layer_norm(x, axes=1, epsilon=1e-5),
        ops.rms_norm(x, axes=1, epsilon=1e-6),
    ]
    found.append(ops.logsumexp(x, axis=(-1,), keepdims=True))
    return graph(x, found)


def terms(model: Graph) -> Iterator[Term]:
    dissolved = legalize(model, lambda node: REGISTRY[node.op].primitive, "primitives")
    normal = Normal(dissolved)
    seen: set[int] = set()
    pending = [normal.term(value) for node in dissolved.nodes() for value in node.outputs]
    while pending:
        term = pending.pop()
        if term.uid not in seen:
            seen.add(term.uid)
            pending += term.args
            yield term


@pytest.mark.parametrize("model", [activations(), transformer(1)], ids=["activations", "transformer"])
def test_what_matches_is_possible(model: Graph) -> None:
    matched = 0
    for term in terms(model):
        possible = catalogue().possible(term)
        for composite in catalogue().composites:
            for pattern in composite.patterns:
                starts = isinstance(pattern, tuple) and pattern[0] == term.head
                if starts and next(matches(pattern, term, Bindings()), None) is not None:
                    matched += 1
                    assert any(pattern is other for _, other in possible), (composite.op, term)
    assert matched > 5


def test_what_may_be_left_unwritten_is_not_needed() -> None:
    assert needs(("mul", ("scaled", ("exp", "?x"), "#factor"), ("tanh", "?y"))) == {"tanh"}
    assert needs(("add", 1.0, ("any", ("exp", "?x"), ("tanh", "?x")))) == {"const"}
    assert needs(("mul", ("add", 1.0, ("erf", "?x")), "?x")) == {"add", "add/const", "add/erf"}
