"""The place where graphs of different structure part: values are recognised by their numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kxchange.graph import LEAVES, Node, Value
from kxchange.model import Array, Model
from kxchange.validation.align import TOLERANCES, fingerprints, first_unmatched
from kxchange.validation.measure import distance
from kxchange.validation.place import Place, Statistics
from kxchange.validation.probe import read_values
from kxchange.validation.search import Search, describe_node
from kxchange.validation.truth import widen

NATIVE_NOISE = 32
"""Rounding of a fingerprint in a model's own dtypes, in units of their roundoff."""


def find_unmatched(search: Search) -> Place | None:
    """The first value that the other graph computes nowhere, for graphs that differ.

    Layouts and names do not matter; a value without a counterpart that leads to values with one is only computed
    another way. Both sides run on the reference: in float64, or both in their own dtypes where only those differ.
    """
    right = search.right if search.wide or search.narrow is None else search.narrow
    inputs = widen(search.inputs) if right is search.right else search.inputs
    sides = (right, inputs), (search.other, search.inputs)
    own, there = (fingerprints(model, search.function, given) for model, given in sides)
    graphs = tuple(model.function(search.function).graph for model, _ in sides)
    for tolerance in TOLERANCES if search.wide else (NATIVE_NOISE * search.unit,):
        first = first_unmatched(graphs[0], own, there, tolerance)
        if first:
            second = first_unmatched(graphs[1], there, own, tolerance)
            return describe_unmatched(search, right, inputs, *rearranged(search, sides, first[0], second))
    return None


def describe_unmatched(
    search: Search, right: Model, inputs: Mapping[str, Array], value: Value, partner: Value | None
) -> Place:
    """The value, and the one that stands for it on the other side."""
    place = describe_node(search, value.node, partner.node if partner else None)
    array = read_values(right, search.function, [value], inputs)[0]
    place.right, place.error = Statistics.of(array) if array is not None else None, None
    place.note = "the graphs differ in structure: values were matched by their numbers"
    if partner is not None:
        found = read_values(search.other, search.function, [partner], search.inputs)[0]
        place.found = Statistics.of(found) if found is not None else None
        place.note += f"; there it is {partner.node.op} {partner.node.name!r}".rstrip()
        place.other_name = partner.node.name
        gap = distance(found, array) if array is not None and found is not None else None
        place.error = None if gap is None or gap.structure else gap.relative
    return place


def counterpart(node: Node, others: list[Value]) -> Value | None:
    """The value among those without a counterpart that stands for one of a node: of one place, else the first."""
    return next((v for v in others if v.node.op == node.op and same_place(v.node, node)), others[0] if others else None)


def rearranged(
    search: Search,
    sides: tuple[tuple[Model, Mapping[str, Array]], tuple[Model, Mapping[str, Array]]],
    value: Value,
    others: list[Value],
) -> tuple[Value, Value | None]:
    """Up to where the numbers are still the same but stand in another order, which fingerprints do not see.

    From a node to an operand of one op, as long as both sides say the same in their attributes, so that the operands
    must be equal, element by element, and one of them is not.
    """
    partner = counterpart(value.node, others)
    while partner is not None and (value.node.op, value.node.attrs) == (partner.node.op, partner.node.attrs):
        pairs = [
            (mine, theirs)
            for mine, theirs in zip(value.node.inputs, partner.node.inputs, strict=False)
            if mine and theirs and mine.node.op not in LEAVES and theirs.node.op not in LEAVES
        ]
        arrays = [
            read_values(model, search.function, [pair[side] for pair in pairs], inputs)
            for side, (model, inputs) in enumerate(sides)
        ]
        moved = [pair for pair, *both in zip(pairs, *arrays, strict=True) if only_order_differs(*both)]
        if not moved:
            break
        value, partner = moved[0]
    return value, partner


def only_order_differs(first: Array | None, second: Array | None) -> bool:
    """Whether two arrays of one shape hold the same numbers in another order."""
    if first is None or second is None or first.shape != second.shape or np.array_equal(first, second):
        return False
    ordered = np.sort(first.reshape(-1)), np.sort(second.reshape(-1))
    return not near(first, second) and near(*ordered)


def near(first: Array, second: Array) -> bool:
    """Whether two arrays hold the same numbers, up to rounding."""
    return bool(np.allclose(first, second, rtol=1e-6, atol=0.0, equal_nan=True))


def same_place(first: Node, second: Node) -> bool:
    """Whether two nodes come from one module, or carry one name."""
    paths = [node.source.path if node.source else "" for node in (first, second)]
    return bool(first.name and first.name == second.name) or bool(paths[0] and paths[0] == paths[1])
