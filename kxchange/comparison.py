"""Two models side by side: where they differ, in words."""

from __future__ import annotations

from collections.abc import Container, Iterable
from itertools import zip_longest
from typing import cast

import numpy as np

from kxchange.format.dtypes import to_bytes
from kxchange.format.integrity import CHUNK_BYTES
from kxchange.graph import Graph, Node, Value
from kxchange.model import Array, Function, Model
from kxchange.passes.common_subexpressions import exact

SHOWN = 20
"""Differences listed per function before the rest is only counted."""


def compare_models(first: Model, second: Model, *, equal: Container[str] = ()) -> list[str]:
    """Every difference in functions, signatures, graphs, parameters and their bytes; empty if there is none.

    Args:
        first: One model.
        second: The other.
        equal: Names of parameters whose bytes are known to be the same, and are not read.
    """
    found = [
        f"function {name!r} only in the {side} model" for name, side in one_sided(first.functions, second.functions)
    ]
    for name in first.functions.keys() & second.functions.keys():
        found += [f"{name}: {line}" for line in compare_functions(first.functions[name], second.functions[name])]
    found += [
        f"parameter {name!r} only in the {side} model" for name, side in one_sided(first.parameters, second.parameters)
    ]
    for name in first.parameters:
        if name in second.parameters:
            found += compare_parameters(first, second, name, read=name not in equal)
    return found


def one_sided(first: Iterable[str], second: Iterable[str]) -> list[tuple[str, str]]:
    """Names that only one side has."""
    left, right = list(first), list(second)
    return [(n, "first") for n in left if n not in right] + [(n, "second") for n in right if n not in left]


def compare_parameters(first: Model, second: Model, name: str, *, read: bool = True) -> list[str]:
    """Type, role, tie and, with `read`, bytes of one parameter."""
    a, b = first.parameters[name], second.parameters[name]
    if a.type != b.type:
        return [f"parameter {name!r}: {a.type} and {b.type}"]
    found = [
        f"parameter {name!r}: {field} {getattr(a, field)!r} and {getattr(b, field)!r}"
        for field in ("role", "trainable", "alias_of")
        if getattr(a, field) != getattr(b, field)
    ]
    if read and not same_bytes(x := first.array(name), y := second.array(name)):
        found.append(f"parameter {name!r}: {weight_statistics(x, y)}")
    return found


def same_bytes(x: Array, y: Array) -> bool:
    """Whether two arrays of one type and shape hold the same bytes, piece by piece up to the first that differs."""
    a, b = to_bytes(x), to_bytes(y)
    pieces = (slice(start, start + CHUNK_BYTES) for start in range(0, len(a), CHUNK_BYTES))
    return len(a) == len(b) and all(np.array_equal(a[piece], b[piece]) for piece in pieces)


def weight_statistics(x: Array, y: Array) -> str:
    """How two arrays of one type differ."""
    differing = int(np.count_nonzero(~((x == y) | ((x != x) & (y != y)))))
    if x.dtype.kind in "biu":
        return f"{differing} of {x.size} elements differ"
    gap = np.abs(x.astype(np.float64) - y.astype(np.float64))
    return f"{differing} of {x.size} elements differ, by at most {float(np.nanmax(gap, initial=0.0)):.3g}"


def compare_functions(first: Function, second: Function) -> list[str]:
    """Signatures and graphs, node by node in order."""
    found: list[str] = []
    for side in ("input_types", "output_types"):
        a, b = getattr(first, side), getattr(second, side)
        if list(a.items()) != list(b.items()):
            found.append(f"{side.split('_')[0]}s {show_types(a)} and {show_types(b)}")
    differences = compare_graphs(first.graph, second.graph)
    more = len(differences) - SHOWN
    return [*found, *differences[:SHOWN], *([f"... and {more} more"] if more > 0 else [])]


def show_types(types: dict[str, object]) -> str:
    """A signature in one line."""
    return "(" + ", ".join(f"{name}: {type}" for name, type in types.items()) + ")"


def compare_graphs(first: Graph, second: Graph) -> list[str]:
    """Nodes that differ in op, attributes, types or operands, in topological order."""
    numbers: tuple[dict[Node, int], dict[Node, int]] = ({}, {})
    for table, graph in zip(numbers, (first, second), strict=True):
        for node in (*(value.node for value in graph.inputs), *graph.nodes()):
            table[node] = len(table)
    found: list[str] = []
    for number, (a, b) in enumerate(zip_longest(first.nodes(), second.nodes())):
        difference = compare_nodes(a, b, numbers)
        if difference:
            found.append(f"node {number}: {difference}")
    if [key(v, numbers[0]) for v in first.outputs] != [key(v, numbers[1]) for v in second.outputs]:
        found.append("outputs come from different nodes")
    return found


def compare_nodes(a: Node | None, b: Node | None, numbers: tuple[dict[Node, int], dict[Node, int]]) -> str:
    """What differs between two nodes at one place; empty if nothing does."""
    if a is None or b is None:
        lone = a or b
        return f"{lone!r} only in the {'first' if b is None else 'second'} model"
    if a.op != b.op:
        return f"{a!r} and {b!r}"
    attrs = [
        f"{name}={a.attrs.get(name)!r} and {b.attrs.get(name)!r}"
        for name in a.attrs.keys() | b.attrs.keys()
        if not same_attribute(a.attrs.get(name), b.attrs.get(name))
    ]
    if attrs:
        return f"{a.op} {a.name}: {', '.join(sorted(attrs))}"
    if a.types != b.types:
        return f"{a.op} {a.name}: {', '.join(map(str, a.types))} and {', '.join(map(str, b.types))}"
    if [key(v, numbers[0]) for v in a.inputs] != [key(v, numbers[1]) for v in b.inputs]:
        return f"{a.op} {a.name}: operands come from different nodes"
    return ""


def same_attribute(a: object, b: object) -> bool:
    """Whether two attribute values are the same; sub-graphs by their nodes."""
    if isinstance(a, Graph) and isinstance(b, Graph):
        return not compare_graphs(a, b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        left, right = cast("tuple[object, ...]", a), cast("tuple[object, ...]", b)
        return len(left) == len(right) and all(same_attribute(x, y) for x, y in zip(left, right, strict=True))
    return exact(a) == exact(b)


def key(value: Value | None, numbers: dict[Node, int]) -> tuple[int, int] | None:
    """A value by its place."""
    return None if value is None else (numbers[value.node], value.index)
