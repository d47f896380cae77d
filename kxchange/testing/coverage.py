"""Which backend takes which op: from the real lowering tables, over every sample of every op."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from kxchange.converter import Converter, converters
from kxchange.errors import KxchangeError, UnsupportedOpError
from kxchange.graph import Node
from kxchange.passes.legalize import legalize
from kxchange.spec import REGISTRY
from kxchange.testing.backends import sample_model
from kxchange.testing.samples import all_samples


class Support(StrEnum):
    """How a backend takes an op."""

    NATIVE = "native"
    PARTLY = "native when ..."
    DECOMPOSED = "decomposed"
    INCOMPLETE = "not all forms"
    GAP = "gap"


def op_support(converter: Converter) -> dict[str, Support]:
    """How one backend takes each op of the language."""
    supports: Callable[[Node], bool] = converter.verb("supports_verb")
    found: dict[str, Support] = {}
    for name in sorted(REGISTRY):
        graphs = [sample_model(sample).main.graph for sample in all_samples()[name]]
        nodes = [node for graph in graphs for node in graph.nodes() if node.op == name]
        taken = [supports(node) for node in nodes]
        legal = [is_legal(graph, supports, converter.name) for graph in graphs]
        if not all(legal):
            found[name] = Support.INCOMPLETE if any(legal) else Support.GAP
        elif all(taken):
            found[name] = Support.NATIVE
        else:
            found[name] = Support.PARTLY if any(taken) else Support.DECOMPOSED
    return found


def is_legal(graph: object, supports: Callable[[Node], bool], target: str) -> bool:
    """Whether a graph can be lowered completely."""
    try:
        legalize(graph, supports, target)  # pyright: ignore[reportArgumentType]
    except (UnsupportedOpError, KxchangeError):
        return False
    return True


def op_table() -> str:
    """The table of ops by backend in Markdown."""
    records = [record for record in converters().values() if record.supports_verb and record.name != "numpy"]
    columns = {record.name: op_support(record) for record in records if not record.missing}
    head = ["| op | kind | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(columns)]
    rows = [
        f"| `{name}` | {'primitive' if op.primitive else 'composite'} | "
        + " | ".join(column[name].value for column in columns.values())
        + " |"
        for name, op in sorted(REGISTRY.items())
    ]
    counts = {name: sum(value is not Support.GAP for value in column.values()) for name, column in columns.items()}
    summary = ", ".join(f"{name} {count} of {len(REGISTRY)}" for name, count in counts.items())
    return "\n".join([f"Taken, natively or decomposed: {summary}.", "", *head, *rows])
