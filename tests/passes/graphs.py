"""What the tests of passes share: graphs to transform, and proof that a transformed graph computes the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.dims import evaluate as evaluate_dim
from kxchange.graph import Graph, Node, Value, parameter, placeholder
from kxchange.passes.retype import retype_graph
from kxchange.reference import evaluate
from kxchange.types import DType, TensorType

SIZES = ({"b": 2, "s": 3, "n": 5, "h": 4, "w": 6}, dict.fromkeys("bsnhw", 4), dict.fromkeys("bsnhw", 1))
"""Sizes of symbols: distinct, equal, one."""


def tensor(name: str, text: str) -> Value:
    """A graph input."""
    return placeholder(name, TensorType.parse(text))


def weight(name: str, text: str) -> Value:
    """A read of a parameter."""
    return parameter(name, TensorType.parse(text))


def graph(inputs: Value | Sequence[Value], outputs: Value | Sequence[Value]) -> Graph:
    """A graph of one or more inputs and outputs."""
    return Graph(
        (inputs,) if isinstance(inputs, Value) else tuple(inputs),
        (outputs,) if isinstance(outputs, Value) else tuple(outputs),
    )


def names(g: Graph) -> list[str]:
    """Ops in order, reads of parameters apart."""
    return [node.op for node in g.nodes() if node.op != "parameter"]


def count(g: Graph) -> Counter[str]:
    """How often each op occurs, reads of parameters apart."""
    return Counter(names(g))


def node(g: Graph, op: str) -> Node:
    """The one node of an op."""
    (found,) = [each for each in g.nodes() if each.op == op]
    return found


def assert_same(before: Graph, after: Graph, sizes: Sequence[Mapping[str, int]] = SIZES) -> None:
    """Both graphs have the same signature and, in float64 on random inputs, the same values."""
    assert after.inputs == before.inputs
    assert [value.type for value in after.outputs] == [value.type for value in before.outputs]
    for seed, known in enumerate(sizes):
        want, got = (_run(g, before, known, seed) for g in (before, after))
        for a, b in zip(want, got, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            assert np.array_equal(np.isnan(a), np.isnan(b)) if a.dtype.kind == "f" else np.array_equal(a, b)
            if a.dtype.kind == "f":
                finite = np.isfinite(a)
                assert np.array_equal(a[~finite], b[~finite], equal_nan=True)
                error = np.linalg.norm((a - b)[finite])
                assert error <= 1e-12 * np.linalg.norm(a[finite]), f"{error} at {known}"


def _run(g: Graph, like: Graph, known: Mapping[str, int], seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    inputs = [_random(value.type, known, rng) for value in like.inputs]
    reads = {n.attrs["name"]: n.types[0] for n in like.nodes() if n.op == "parameter"}
    # Variances are among the parameters: all are positive.
    weights = {name: np.abs(_random(type, known, rng)) for name, type in sorted(reads.items())}
    return evaluate(retype_graph(g, DType.FLOAT64), inputs, weights, known)


def _random(type: TensorType, known: Mapping[str, int], rng: np.random.Generator) -> Any:
    shape = tuple(evaluate_dim(dim, known) for dim in type.shape)
    if type.dtype.is_floating:
        return np.asarray(rng.standard_normal(shape))
    if type.dtype.is_bool:
        return np.asarray(rng.random(shape) < 0.5)
    return np.asarray(rng.integers(0, 2, shape)).astype(type.dtype.numpy)


def softmax_by_hand(x: Value, axis: int = -1) -> Value:
    powers = ops.exp(ops.subtract(x, ops.max(x, axis=(axis,), keepdims=True)))
    return ops.divide(powers, ops.sum(powers, axis=(axis,), keepdims=True))


def layer_norm_by_hand(x: Value, scale: Value, bias: Value, epsilon: float = 1e-5) -> Value:
    centred = ops.subtract(x, ops.mean(x, axis=(-1,), keepdims=True))
    variance = ops.mean(ops.multiply(centred, centred), axis=(-1,), keepdims=True)
    return ops.add(ops.multiply(ops.multiply(centred, ops.rsqrt(ops.add(variance, epsilon))), scale), bias)


def gelu_by_hand(x: Value) -> Value:
    """Hugging Face's NewGELU."""
    inner = ops.multiply(ops.add(x, ops.multiply(ops.pow(x, 3.0), 0.044715)), (2 / np.pi) ** 0.5)
    return ops.multiply(ops.multiply(x, 0.5), ops.add(ops.tanh(inner), 1.0))


def dense(x: Value, name: str, size: int) -> Value:
    kernel = weight(f"{name}.kernel", f"float32[{x.shape[-1]}, {size}]")
    return ops.add(ops.matmul(x, kernel), weight(f"{name}.bias", f"float32[{size}]"))


def block(x: Value, name: str) -> Value:
    """A transformer layer of primitives, 8 features in 2 heads."""
    b, s, width = x.shape
    y = layer_norm_by_hand(x, weight(f"{name}.norm.scale", "float32[8]"), weight(f"{name}.norm.bias", "float32[8]"))
    heads = [ops.reshape(dense(y, f"{name}.{part}", width), shape=(b, s, 2, 4)) for part in ("q", "k", "v")]
    q, k, v = (ops.permute_dims(head, axes=(0, 2, 1, 3)) for head in heads)
    scores = ops.divide(ops.matmul(q, ops.permute_dims(k, axes=(0, 1, 3, 2))), 2.0)
    mixed = ops.permute_dims(ops.matmul(softmax_by_hand(scores), v), axes=(0, 2, 1, 3))
    x = ops.add(x, dense(ops.reshape(mixed, shape=(b, s, width)), f"{name}.out", width))
    return ops.add(x, dense(gelu_by_hand(dense(x, f"{name}.up", 16)), f"{name}.down", width))


def transformer(layers: int) -> Graph:
    x = y = tensor("x", "float32[b, s, 8]")
    for index in range(layers):
        y = block(y, f"layers.{index}")
    return graph(x, y)


def chain(length: int) -> Graph:
    """Sums, products and functions of each other that are no composite op."""
    x = y = tensor("x", "float32[b, s]")
    for index in range(length // 4):
        y = ops.add(ops.tanh(ops.multiply(y, 1.5 + index)), y)
    return graph(x, y)


def image(layout: tuple[int, ...] = (0, 3, 1, 2)) -> Graph:
    """A transpose to NCHW and back with work between that does not care."""
    x = tensor("x", "float32[b, h, w, 3]")
    y = ops.permute_dims(x, axes=layout)
    y = ops.add(ops.relu(y), weight("bias", "float32[3, 1, 1]"))
    y = ops.pad(y, padding=((0, 0), (0, 0), (1, 1), (2, 0)))
    return graph(x, ops.permute_dims(ops.concat(y, y, axis=1), axes=(0, 2, 3, 1)))


def loop() -> Graph:
    """A scan whose body holds a dissolved silu, the same expression twice, and a constant nobody reads."""
    carry, element, unused = tensor("c", "float32[b, 4]"), tensor("e", "float32[b, 4]"), tensor("u", "float32[3]")
    gate = ops.multiply(carry, ops.sigmoid(carry))
    after = ops.add(ops.add(gate, ops.exp(element)), ops.exp(element))
    body = graph((unused, carry, element), (after, ops.astype(gate, dtype=DType.FLOAT32)))
    const, start, xs = tensor("k", "float32[3]"), tensor("start", "float32[b, 4]"), tensor("xs", "float32[s, b, 4]")
    last, ys = ops.scan(const, start, xs, body=body, num_consts=1, num_carry=1, length=xs.shape[0])
    return graph((const, start, xs), (last, ys))


def parts() -> Graph:
    """Several outputs per node, an operand that is used often, an output that is an input."""
    x = tensor("x", "float32[b, 6]")
    first, second, third = ops.split(x, sizes=(1, 2, 3), axis=1)
    values, indices = ops.top_k(third, k=2, axis=-1, largest=True, sorted=True)
    gated = ops.silu(second)
    return graph(x, (ops.add(gated, ops.sum(first, axis=(1,), keepdims=True)), values, indices, x))


def constants() -> Graph:
    x = tensor("x", "float32[b, 3]")
    shift = ops.add(
        ops.full(shape=(3,), value=2.0, dtype=DType.FLOAT32), ops.full(shape=(3,), value=3.0, dtype=DType.FLOAT32)
    )
    kernel = ops.multiply(ops.permute_dims(weight("w", "float32[4, 3]"), axes=(1, 0)), 2.0)
    same = ops.reshape(ops.reshape(ops.add(x, shift), shape=(x.shape[0], 3, 1)), shape=(x.shape[0], 3))
    return graph(x, ops.matmul(same, kernel))


GRAPHS: dict[str, Callable[[], Graph]] = {
    "transformer": lambda: transformer(2),
    "chain": lambda: chain(40),
    "image": image,
    "loop": loop,
    "parts": parts,
    "constants": constants,
}
