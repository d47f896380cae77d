"""Lifts end in one form: identities gone, composite ops whole, equal expressions one."""

from __future__ import annotations

import numpy as np

from kxchange import ops
from kxchange.graph import Value
from kxchange.model import Function, Model, Parameter
from kxchange.passes.canonicalize import canonicalize
from kxchange.types import DType
from tests.passes.graphs import (
    GRAPHS,
    assert_same,
    chain,
    count,
    graph,
    layer_norm_by_hand,
    names,
    tensor,
    transformer,
    weight,
)


def test_the_passes_help_each_other() -> None:
    """A cast that does nothing hides a norm, a duplicate hides a softmax."""
    x = tensor("x", "float32[b, 8]")
    y = ops.astype(layer_norm_by_hand(x, weight("s", "float32[8]"), weight("b", "float32[8]")), dtype=DType.FLOAT32)

    def shifted() -> Value:
        return ops.subtract(y, ops.max(y, axis=(-1,), keepdims=True))

    result = ops.divide(ops.exp(shifted()), ops.sum(ops.exp(shifted()), axis=(-1,), keepdims=True))
    before = graph(x, result)
    after = canonicalize(before)
    assert names(after) == ["layer_norm", "softmax"]
    assert_same(before, after)


def test_a_fixed_point() -> None:
    for make in GRAPHS.values():
        after = canonicalize(make())
        assert canonicalize(after) is after


def test_every_function_of_a_model() -> None:
    held = [
        Parameter(n.attrs["name"], np.zeros(n.types[0].shape, np.float32))
        for n in transformer(1).nodes()
        if n.op == "parameter"
    ]  # pyright: ignore
    functions = {name: Function(transformer(1), (f"{name}.y",)) for name in ("encode", "decode")}
    model = Model(functions, held, metadata={"author": "a"})
    after = canonicalize(model)
    assert list(after.functions) == ["encode", "decode"]
    for function in after.functions.values():
        assert count(function.graph)["scaled_dot_product_attention"] == 1
    assert after.functions["decode"].output_names == ("decode.y",)
    assert list(after.parameters) == list(model.parameters)
    assert after.metadata == {"author": "a"}


def test_a_model_with_nothing_to_do_is_the_same_object() -> None:
    model = Model({"main": Function(chain(40), ("y",))}, evidence=[{"verdict": "SAME"}])
    assert canonicalize(model) is model


def test_evidence_is_dropped_with_the_graph_that_it_was_about() -> None:
    model = Model({"main": Function(GRAPHS["constants"](), ("y",))}, evidence=[{"verdict": "SAME"}])
    assert canonicalize(model).evidence == []
