"""Rounding, simulated: a graph in float64 whose every value is moved by what a narrower type would round off."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from kxchange.errors import KxchangeError
from kxchange.graph import LEAVES, Graph, Node, interpret
from kxchange.model import Array
from kxchange.passes.legalize import legalize
from kxchange.reference import BoundGraph, bind_inputs, evaluate_node

EXACT = frozenset(
    {
        "reshape", "permute_dims", "expand_dims", "squeeze", "broadcast_to", "concat", "stack", "split", "slice",
        "dynamic_slice", "dynamic_update_slice", "pad", "flip", "roll", "tile", "repeat", "tril", "triu", "take",
        "take_along_axis", "gather_nd", "where", "maximum", "minimum", "max", "min", "max_pool", "relu", "negative",
        "abs", "clip", "embedding", "full", "depth_to_space", "space_to_depth", "astype", "sort", "top_k",
    }
)  # fmt: skip
"""Ops that round nothing: they move numbers or pick some."""


TAILS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": lambda x: np.full_like(x, 0.5),
    "erfc": np.ones_like,
    "expm1": np.exp,
    "log1p": np.ones_like,
}
"""Ops whose small results kernels compute as a difference -> the magnitude at which that rounds.

Sigmoid as ``(1 + tanh(x / 2)) / 2``, erfc as ``1 - erf(x)``, expm1 as ``exp(x) - 1``, log1p as ``log(1 + x)``. NumPy's
reference is more accurate there than most backends (torch's gelu is 0 from -5.5 on in float32, ONNX Runtime's sigmoid
from -18 on): no conversion can change that, so a result as far off as such rounding is no fault.
"""
COMPOSED = frozenset({"gelu", "silu", "glu", "elu", "celu", "selu", "tanh_shrink", "softplus", "lstm", "gru"})
"""Composite ops that have one of these inside, or that cancel by themselves."""


def open_tails(graph: Graph) -> Graph | None:
    """The graph with composite ops opened, so that the tails inside are seen; None where it has no tail."""
    try:
        opened = legalize(graph, lambda node: node.op not in COMPOSED, "noise")
    except KxchangeError:
        return graph
    return opened if opened is not graph or has_tail(graph) else None


def has_tail(graph: Graph) -> bool:
    """Whether some op, in sub-graphs too, has a tail."""
    return any(
        node.op in TAILS or any(isinstance(value, Graph) and has_tail(value) for value in flat(node.attrs.values()))
        for node in graph.nodes()
    )


def flat(values: Iterable[Any]) -> Iterator[Any]:
    """Attribute values, those of tuples one by one."""
    for value in values:
        if isinstance(value, tuple):
            yield from flat(cast("tuple[Any, ...]", value))
        else:
            yield value


def evaluate_noisy(
    graph: Graph,
    inputs: Sequence[Array],
    parameters: Mapping[str, Array],
    unit: float,
    rng: np.random.Generator,
    *,
    tails: bool = False,
) -> tuple[Array, ...]:
    """Run a float64 graph with every operand from outside, and every result that would be rounded, moved by `unit`.

    What comes out is off by about as much as any implementation in the narrower type is at least.

    Args:
        graph: In float64.
        inputs: One array per graph input.
        parameters: Arrays by name.
        unit: Relative step, in a random direction for each element.
        rng: Of the directions.
        tails: Let `TAILS` round as kernels do, too; of a graph from `open_tails`.
    """
    arrays = [perturb(array, unit, rng) for array in inputs]
    moved: dict[str, Array] = {}

    def weight(node: Node) -> Array:
        name = str(node.attrs["name"])
        if name not in moved:
            moved[name] = perturb(parameters[name], unit, rng)
        return moved[name]

    return interpret(graph, arrays, noisy(bind_inputs(graph, arrays, {}), unit, rng, tails, weight), release=True)


def noisy(
    known: dict[str, int],
    unit: float,
    rng: np.random.Generator,
    tails: bool,
    weight: Callable[[Node], Array] | None = None,
) -> Callable[[Node, list[Any]], Sequence[Array]]:
    """How one node is evaluated, so are those of its sub-graphs where tails matter."""

    class NoisyGraph(BoundGraph):
        """A body of a loop: each of its steps rounds."""

        def __call__(self, *arrays: Array) -> tuple[Array, ...]:
            inside = bind_inputs(self.graph, arrays, self.dims)
            return interpret(self.graph, arrays, noisy(inside, unit, rng, tails), release=True)

    def apply(node: Node, operands: list[Any]) -> Sequence[Array]:
        if weight is not None and node.op == "parameter":
            return (weight(node),)
        outputs = evaluate_node(node, operands, known, bound=NoisyGraph if tails else BoundGraph)
        if node.op in LEAVES or node.op in EXACT:
            return outputs
        outputs = tuple(perturb(array, unit, rng, computed=True) for array in outputs)
        if tails and node.op in TAILS and outputs[0].dtype == np.float64:
            with np.errstate(all="ignore"):
                step = unit * TAILS[node.op](operands[0]) * rng.choice([-1.0, 1.0], size=outputs[0].shape)
            return (outputs[0] + np.where(np.isfinite(step), step, 0.0),)
        return outputs

    return apply


def perturb(array: Array, unit: float, rng: np.random.Generator, *, computed: bool = False) -> Array:
    """A float64 array moved by at most half an ULP of the narrower type, in a random direction each.

    What is exact stays: moving a position, a count or a half that is about to be rounded would make a jump of noise. Of
    computed numbers these are those that the narrower type (float32 at most) holds, of given ones those of half as many
    bits: no trained weight, but constants are.

    Args:
        array: Of any type; what is not float64 stays.
        unit: Relative step.
        rng: Of the directions.
        computed: Whether an op gave it, or it came from outside.
    """
    if array.dtype != np.float64:
        return array
    bits = min(24, round(-math.log2(unit)))
    with np.errstate(all="ignore"):
        moved = array * (1.0 + unit * rng.choice([-1.0, 1.0], size=array.shape))
    return np.where(is_short(array, bits if computed else bits // 2), array, moved)


def is_short(array: Array, bits: int) -> Array:
    """Where a number has no more than so many significant bits."""
    mantissa = np.frexp(array)[0] * 2.0**bits
    return np.asarray(mantissa == np.rint(mantissa))
