"""Which value of one graph is which value of another: by position where the graphs match, else by the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kxchange.graph import LEAVES, Graph, Node, Value, interpret
from kxchange.model import Array, Function, Model
from kxchange.reference import bind_inputs, evaluate_node
from kxchange.validation.measure import as_float

TOLERANCES = (1e-9, 1e-12)
"""Relative differences of fingerprints that are the same value; the next where nothing differs by the one before."""
SMALLEST_PRINT = 2
"""Elements of an array that its fingerprint tells from others."""


def same_structure(first: Function, second: Function) -> bool:
    """Whether two graphs apply the same ops to the same operands in the same order, whatever their attributes."""
    return outline(first.graph) == outline(second.graph)


def outline(graph: Graph) -> list[tuple[str, tuple[tuple[int, int] | str | None, ...]]]:
    """Ops and operands' places."""
    numbers: dict[Node, int] = {}
    for value in graph.inputs:
        numbers[value.node] = len(numbers)
    found: list[tuple[str, tuple[tuple[int, int] | str | None, ...]]] = []
    for node in graph.nodes():
        numbers[node] = len(numbers)
        found.append((node.op, tuple(v and (numbers[v.node], v.index) for v in node.inputs)))
    return found


def pair_by_position(first: Graph, second: Graph) -> dict[Node, Node]:
    """Node for node, for graphs of one structure."""
    return dict(zip(first.nodes(), second.nodes(), strict=True))


@dataclass(frozen=True, slots=True)
class Print:
    """Numbers of an array that no transpose or reshape changes."""

    size: int
    numbers: tuple[float, ...]

    @property
    def informative(self) -> bool:
        """Whether it tells the value from others: more than one element, not all the same."""
        return self.size >= SMALLEST_PRINT and self.numbers[1] > 0


def fingerprint(array: Array) -> Print:
    """Size, RMS, spread, mean and mean magnitude, extremes."""
    values = as_float(array).reshape(-1)
    values = np.where(np.isfinite(values), values, 0.0)
    if not values.size:
        return Print(0, (0.0, 0.0))
    power = float(np.sqrt(np.mean(values**2)))
    extremes = float(values.min()), float(values.max())
    cube = float(np.cbrt(np.mean(values**3)))
    return Print(values.size, (power, float(values.std()), float(np.abs(values).mean()), *extremes, cube))


def fingerprints(model: Model, function: str | None, inputs: Mapping[str, Array]) -> dict[Value, Print]:
    """The fingerprint of every computed value that is read, in topological order; memory stays at the live values."""
    entry = model.function(function)
    read = {value for node in entry.graph.nodes() for value in node.inputs} | set(entry.graph.outputs)
    arrays = [inputs[name] for name in entry.input_names]
    dims = bind_inputs(entry.graph, arrays, {})
    found: dict[Value, Print] = {}

    def apply(node: Node, operands: list[Array | None]) -> Sequence[Array]:
        if node.op == "parameter":
            return (model.array(str(node.attrs["name"])),)
        outputs = evaluate_node(node, operands, dims)
        if node.op not in LEAVES:
            pairs = zip(node.outputs, outputs, strict=True)
            found.update((value, fingerprint(array)) for value, array in pairs if value in read)
        return outputs

    interpret(entry.graph, arrays, apply, release=True)
    return found


def first_unmatched(
    graph: Graph, own: Mapping[Value, Print], other: Mapping[Value, Print], tolerance: float
) -> list[Value]:
    """Values that the other graph has nowhere, and nothing computed from them either, in topological order.

    A value without a counterpart that leads to values with one is only computed another way.

    Args:
        graph: Whose values.
        own: Their fingerprints.
        other: Those of the other graph.
        tolerance: Relative difference of fingerprints that are the same value.
    """
    tables: dict[int, list[tuple[float, ...]]] = {}
    for print_ in other.values():
        tables.setdefault(print_.size, []).append(print_.numbers)
    rows = {size: np.asarray(numbers) for size, numbers in tables.items()}
    known = {value for value, p in own.items() if p.informative and is_among(p, rows.get(p.size), tolerance)}
    rejoined: set[Node] = set()
    for node in reversed(graph.nodes()):
        if node in rejoined or any(value in known for value in node.outputs):
            rejoined.add(node)
            rejoined.update(value.node for value in node.inputs if value is not None)
    return [v for v, p in own.items() if p.informative and v not in known and v.node not in rejoined]


def is_among(print_: Print, rows: Array | None, tolerance: float) -> bool:
    """Whether some row holds the same numbers."""
    if rows is None:
        return False
    wanted = np.asarray(print_.numbers)
    return bool(np.any(np.all(np.abs(rows - wanted) <= tolerance * np.abs(wanted).max(), axis=1)))
