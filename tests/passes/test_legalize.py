"""Targets get what they take; what they cannot take is told all at once."""

from __future__ import annotations

import pytest

from kxchange import ops
from kxchange.errors import UnsupportedOpError
from kxchange.graph import Graph, Node, Source, Value, emitting
from kxchange.passes.legalize import legalize
from kxchange.spec import REGISTRY
from kxchange.table import Table
from kxchange.types import DType
from tests.passes.graphs import assert_same, count, graph, loop, names, node, tensor

EVERYTHING = frozenset(REGISTRY)


def without(*missing: str) -> Table:
    """A table that takes everything but some ops."""
    table = Table("toy")
    table.direct(**{op: REGISTRY[op] for op in EVERYTHING - set(missing)})
    return table


def test_what_is_taken_stays_the_same_object() -> None:
    before = loop()
    assert legalize(before, without().supports, "toy") is before


def test_a_composite_op_without_a_rule_is_decomposed() -> None:
    x = tensor("x", "float32[b, 4]")
    earlier = ops.tanh(x)
    before = graph(x, ops.exp(ops.silu(earlier)))
    after = legalize(before, without("silu").supports, "toy")
    assert names(after) == ["tanh", "sigmoid", "multiply", "exp"]
    assert earlier.node in after.nodes()
    assert_same(before, after)


def test_decompositions_are_decomposed() -> None:
    x = tensor("x", "float32[b, 4]")
    before = graph(x, ops.hard_swish(x))
    table = without("hard_swish", "hard_sigmoid", "clip")
    after = legalize(before, table.supports, "toy")
    assert names(after) and {"hard_swish", "hard_sigmoid", "clip"}.isdisjoint(names(after))
    assert_same(before, after)


def test_a_condition_picks_between_native_and_decomposed() -> None:
    table = without("gelu")

    @table.rule("gelu", when=lambda node: node.attrs["approximate"] == "none")
    def _(x: Value, *, approximate: str) -> Value:
        return ops.gelu(x, approximate=approximate)

    x = tensor("x", "float32[b]")
    before = graph(x, (ops.gelu(x, approximate="none"), ops.gelu(x, approximate="tanh")))
    after = legalize(before, table.supports, "toy")
    assert count(after)["gelu"] == 1
    assert node(after, "gelu").attrs["approximate"] == "none"
    assert after.outputs[0] == before.outputs[0]
    assert_same(before, after)


def test_a_condition_sees_the_new_operand_types() -> None:
    """The decomposition of a decomposition is asked about with the operands that it will have."""
    seen: list[str] = []

    def supports(each: Node) -> bool:
        seen.append(f"{each.op}/{len(each.inputs)}")
        return each.op not in ("mish", "layer_norm")

    x = tensor("x", "float32[b, 4]")
    legalize(graph(x, ops.layer_norm(ops.mish(x), epsilon=1e-5)), supports, "toy")
    assert seen.count("tanh/1") == 1
    assert all(op in REGISTRY for op, _, _ in (each.partition("/") for each in seen))


def test_operands_with_several_outputs() -> None:
    """Each output is its own value: the first must not become the last."""
    x = tensor("x", "float32[b, 6]")
    first, second, third = ops.split(x, sizes=(1, 2, 3), axis=1)
    before = graph(
        x, (ops.silu(first), ops.silu(second), ops.silu(third), ops.concat(ops.silu(second), second, axis=1))
    )
    after = legalize(before, without("silu").supports, "toy")
    assert count(after)["split"] == 1
    assert_same(before, after)
    values, indices = ops.top_k(x, k=2)
    before = graph(x, (ops.silu(values), indices))
    assert_same(before, legalize(before, without("silu").supports, "toy"))


def test_an_op_with_several_outputs() -> None:
    x, w, r = tensor("x", "float32[s, b, 3]"), tensor("w", "float32[8, 3]"), tensor("r", "float32[8, 2]")
    before = graph((x, w, r), ops.lstm(x, w, r))
    after = legalize(before, without("lstm").supports, "toy")
    assert "scan" in names(after)
    assert "lstm" not in names(after)
    assert_same(before, after)


def test_a_decomposition_that_is_its_operand() -> None:
    x = tensor("x", "float32[b]")
    assert legalize(graph(x, ops.dropout(x, rate=0.5)), without("dropout").supports, "toy").outputs == (x,)


def test_bodies_of_control_flow() -> None:
    x = tensor("x", "float32[b]")
    inner = tensor("i", "float32[b]")
    branches = graph(inner, ops.negative(inner)), graph(inner, ops.silu(inner))
    before = graph(x, ops.cond(ops.any(ops.greater(x, 0.0)), x, branches=branches))
    after = legalize(before, without("silu").supports, "toy")
    bodies: tuple[Graph, Graph] = node(after, "cond").attrs["branches"]
    assert [names(body) for body in bodies] == [["negative"], ["sigmoid", "multiply"]]
    assert bodies[0] is branches[0]
    assert_same(before, after)


def test_a_body_in_a_body() -> None:
    carry = tensor("c", "float32[b]")
    deep = tensor("d", "float32[b]")
    inner = graph(deep, ops.silu(deep))
    body = graph(carry, ops.scan(carry, body=inner, num_consts=0, num_carry=1, length=2))
    x = tensor("x", "float32[b]")
    before = graph(x, ops.scan(x, body=body, num_consts=0, num_carry=1, length=3))
    after = legalize(before, without("silu").supports, "toy")
    assert "silu" not in names(node(node(after, "scan").attrs["body"], "scan").attrs["body"])
    assert_same(before, after)


def test_all_blockers_at_once_with_their_places() -> None:
    x = tensor("x", "float32[b]")
    inner = tensor("i", "float32[b]")
    with emitting("one", Source("net.py", 3)):
        value = ops.erfinv(x)
    with emitting("two", Source("net.py", 5)):
        value = ops.lgamma(ops.erfinv(value))
    with emitting("three", Source("net.py", 9)):
        body = graph(inner, ops.digamma(inner))
    value = ops.scan(value, body=body, num_consts=0, num_carry=1, length=2)
    with pytest.raises(UnsupportedOpError) as caught:
        legalize(graph(x, value), without("erfinv", "lgamma", "digamma").supports, "toy")
    found = {blocker.op: blocker for blocker in caught.value.blockers}
    assert found.keys() == {"erfinv", "lgamma", "digamma"}
    assert found["erfinv"].places == ("net.py:3", "net.py:5")
    assert found["digamma"].places == ("net.py:9",)
    assert "toy" in str(caught.value)


def test_blockers_inside_a_decomposition_have_the_place_of_the_whole() -> None:
    x = tensor("x", "float32[b]")
    with emitting("act", Source("net.py", 4)):
        value = ops.gelu(x, approximate="none")
    with pytest.raises(UnsupportedOpError) as caught:
        legalize(graph(x, value), without("gelu", "erfc").supports, "toy")
    (blocker,) = caught.value.blockers
    assert (blocker.op, blocker.places) == ("erfc", ("net.py:4",))


def test_a_decomposition_that_the_types_forbid_is_a_blocker() -> None:
    """Attention over a symbolic number of query heads per key head has no decomposition."""
    q = tensor("q", "float32[b, n, s, 4]")
    k = tensor("k", "float32[b, 2, s, 4]")
    value = ops.scaled_dot_product_attention(q, k, k)
    with pytest.raises(UnsupportedOpError, match="symbolic"):
        legalize(graph((q, k), value), without("scaled_dot_product_attention").supports, "toy")


def test_expansions_of_the_target_come_first() -> None:
    expansions = Table("toy")

    @expansions.rule("silu", "erfinv")
    def _(x: Value) -> Value:
        return ops.divide(x, ops.add(1.0, ops.exp(ops.negative(x))))

    x = tensor("x", "float32[b]")
    before = graph(x, ops.silu(x))
    after = legalize(before, without("silu", "erfinv").supports, "toy", expansions)
    assert "sigmoid" not in names(after)
    assert_same(before, after)
    assert "divide" in names(legalize(graph(x, ops.erfinv(x)), without("erfinv").supports, "toy", expansions))


def test_new_nodes_have_the_name_and_source_of_the_old() -> None:
    x = tensor("x", "float32[b]")
    with emitting("block.act", Source("net.py", 7)):
        value = ops.silu(x)
    after = legalize(graph(x, value), without("silu").supports, "toy")
    assert {(n.name, n.source) for n in after.nodes()} == {("block.act", Source("net.py", 7))}


def test_types_are_inferred_again_where_they_change() -> None:
    x = tensor("x", "float32[b, 8]")
    before = graph(x, ops.astype(ops.layer_norm(x, epsilon=1e-5), dtype=DType.BFLOAT16))
    after = legalize(before, without("layer_norm", "mean", "square").supports, "toy")
    assert [v.type for v in after.outputs] == [v.type for v in before.outputs]
