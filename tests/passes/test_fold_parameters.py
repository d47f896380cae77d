"""Expressions on parameters become parameters of the target's layout, and the way there is known."""

from __future__ import annotations

import numpy as np

from kxchange import ops
from kxchange.graph import Graph
from kxchange.model import Parameter
from kxchange.passes.fold_parameters import fold_parameters
from kxchange.reference import evaluate
from tests.passes.graphs import graph, names, tensor, weight


def held(**shapes: tuple[int, ...]) -> dict[str, Parameter]:
    rng = np.random.default_rng(0)
    return {name: Parameter(name, rng.standard_normal(shape).astype(np.float32)) for name, shape in shapes.items()}


def check(before: Graph, after: Graph, parameters: dict[str, Parameter], derived: dict[str, object]) -> None:
    arrays = {name: entry.array for name, entry in parameters.items()}
    folded = arrays | {name: each.compute(arrays) for name, each in derived.items()}  # pyright: ignore
    x = np.random.default_rng(1).standard_normal((2, 3)).astype(np.float32)
    for a, b in zip(evaluate(before, [x], arrays), evaluate(after, [x], folded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_largest_expression_is_one_parameter() -> None:
    x = tensor("x", "float32[b, 3]")
    kernel = ops.multiply(ops.permute_dims(weight("w", "float32[4, 3]"), axes=(1, 0)), 2.0)
    before = graph(x, ops.matmul(x, kernel))
    parameters = held(w=(4, 3))
    after, derived = fold_parameters(before, parameters)
    assert names(after) == ["matmul"]
    ((name, each),) = derived.items()
    assert name == "w:1" and each.sources == ("w",)
    np.testing.assert_array_equal(each.compute({"w": parameters["w"].array}), parameters["w"].array.T * 2)
    check(before, after, parameters, dict(derived))


def test_a_parameter_that_is_read_as_it_is_stays() -> None:
    x = tensor("x", "float32[b, 3]")
    before = graph(x, ops.add(x, weight("w", "float32[3]")))
    after, derived = fold_parameters(before, held(w=(3,)))
    assert after is before
    assert derived == {}


def test_two_readers_of_one_expression_share_it() -> None:
    x = tensor("x", "float32[b, 3]")
    scale = ops.exp(weight("w", "float32[3]"))
    before = graph(x, ops.add(ops.multiply(x, scale), scale))
    after, derived = fold_parameters(before, held(w=(3,)))
    assert list(derived) == ["w:1"]
    check(before, after, held(w=(3,)), dict(derived))


def test_an_expression_that_another_one_reads_too() -> None:
    """Both tops are parameters; the inner one is not computed at run time for the outer."""
    x = tensor("x", "float32[b, 3]")
    inner = ops.exp(weight("w", "float32[3]"))
    before = graph(x, ops.add(ops.multiply(x, inner), ops.negative(inner)))
    after, derived = fold_parameters(before, held(w=(3,)))
    assert names(after) == ["multiply", "add"]
    assert sorted(derived) == ["w:1", "w:2"]
    check(before, after, held(w=(3,)), dict(derived))


def test_several_sources_and_outputs() -> None:
    x = tensor("x", "float32[b, 3]")
    both = ops.concat(weight("a", "float32[3]"), weight("b", "float32[3]"), axis=0)
    first, second = ops.split(both, sizes=(3, 3), axis=0)
    before = graph(x, ops.add(ops.multiply(x, second), first))
    parameters = held(a=(3,), b=(3,))
    after, derived = fold_parameters(before, parameters)
    assert {each.sources for each in derived.values()} == {("a", "b")}
    assert names(after) == ["multiply", "add"]
    check(before, after, parameters, dict(derived))


def test_a_free_name_is_found() -> None:
    x = tensor("x", "float32[b, 3]")
    before = graph(x, ops.multiply(x, ops.exp(weight("w", "float32[3]"))))
    _, derived = fold_parameters(before, held(w=(3,)) | {"w:1": Parameter("w:1", np.zeros(1, np.float32))})
    assert list(derived) == ["w:2"]


def test_constants_alone_and_sizes_are_left() -> None:
    x = tensor("x", "float32[b, 3]")
    wide = ops.broadcast_to(weight("w", "float32[3]"), shape=x.shape)
    before = graph(x, ops.add(ops.add(x, wide), ops.negative(ops.full(shape=(3,), value=1.0, dtype=x.dtype))))
    after, derived = fold_parameters(before, held(w=(3,)))
    assert after is before
    assert derived == {}


def test_an_expression_that_is_an_output() -> None:
    x = tensor("x", "float32[b, 3]")
    before = graph(x, (ops.exp(weight("w", "float32[3]")), x))
    after, derived = fold_parameters(before, held(w=(3,)))
    assert names(after) == []
    check(before, after, held(w=(3,)), dict(derived))
