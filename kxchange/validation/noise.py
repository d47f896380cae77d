"""Rounding, simulated: a graph in float64 whose every value is moved by what a narrower type would round off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kxchange.graph import LEAVES, Graph, Node, interpret
from kxchange.model import Array
from kxchange.reference import bind_inputs, evaluate_node

EXACT = frozenset(
    {
        "reshape", "permute_dims", "expand_dims", "squeeze", "broadcast_to", "concat", "stack", "split", "slice",
        "dynamic_slice", "dynamic_update_slice", "pad", "flip", "roll", "tile", "repeat", "tril", "triu", "take",
        "take_along_axis", "gather_nd", "where", "maximum", "minimum", "max", "min", "max_pool", "relu", "negative",
        "abs", "clip", "embedding", "full", "depth_to_space", "space_to_depth", "astype", "sort", "top_k",
    }
)  # fmt: skip
"""Ops that round nothing: they move numbers or pick some."""


def evaluate_noisy(
    graph: Graph, inputs: Sequence[Array], parameters: Mapping[str, Array], unit: float, rng: np.random.Generator
) -> tuple[Array, ...]:
    """Run a float64 graph with every operand from outside, and every result that would be rounded, moved by `unit`.

    What comes out is off by about as much as any implementation in the narrower type is at least.

    Args:
        graph: In float64.
        inputs: One array per graph input.
        parameters: Arrays by name.
        unit: Relative step, in a random direction for each element.
        rng: Of the directions.
    """
    arrays = [perturb(array, unit, rng) for array in inputs]
    known = bind_inputs(graph, arrays, {})
    moved: dict[str, Array] = {}

    def apply(node: Node, operands: list[Any]) -> Sequence[Array]:
        if node.op == "parameter":
            name = str(node.attrs["name"])
            if name not in moved:
                moved[name] = perturb(parameters[name], unit, rng)
            return (moved[name],)
        outputs = evaluate_node(node, operands, known)
        if node.op in LEAVES or node.op in EXACT:
            return outputs
        return [perturb(array, unit, rng, computed=True) for array in outputs]

    return interpret(graph, arrays, apply, release=True)


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
