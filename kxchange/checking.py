"""What stands between a model and a backend: every blocker and warning at once, nothing written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from kxchange.converter import converter
from kxchange.errors import Blocker, UnsupportedOpError
from kxchange.graph import LEAVES, Graph, Node
from kxchange.model import Model
from kxchange.passes.legalize import Supports, legalize
from kxchange.table import always
from kxchange.traps import TRAPS


@dataclass(slots=True)
class Check:
    """The outcome of checking one model for one backend.

    Attributes:
        target: Name of the backend.
        blockers: Ops that it cannot take.
        decomposed: Ops that it takes only as a composition of others -> how often.
        warnings: Trap code -> places where it applies.
        constraints: What must hold of the sizes at run time.
    """

    target: str
    blockers: list[Blocker] = field(default_factory=list[Blocker])
    decomposed: dict[str, int] = field(default_factory=dict[str, int])
    warnings: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    constraints: list[str] = field(default_factory=list[str])

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"blocker  {blocker}" for blocker in self.blockers]
        for code, places in self.warnings.items():
            lines.append(f"{code}    {TRAPS[code].name}, {len(places)} sites: {TRAPS[code].summary}")
        lines += [f"info     {op}: decomposed, {count} sites" for op, count in self.decomposed.items()]
        lines += [f"info     needs {constraint}" for constraint in self.constraints]
        ready = "ready" if not self.blockers else f"{len(self.blockers)} blockers"
        return "\n".join([*lines, f"{self.target}: {ready}, {len(self.warnings)} warnings"])


def check_model(model: Model, target: str) -> Check:
    """Run the real conversion rules of `target` over a model, without building anything.

    Args:
        model: What would be converted.
        target: Backend name; ``kx`` takes everything.
    """
    check = Check(target)
    supports: Supports = always if target == "kx" else converter(target).verb("supports_verb")
    made = Counter[str]()
    for name, function in model.functions.items():
        try:
            made.update(node.op for node in all_nodes(legalized(function.graph, supports, target)))
        except UnsupportedOpError as error:
            check.blockers += error.blockers
        decomposed = Counter(node.op for node in all_nodes(function.graph) if not supports(node))
        blocked = {blocker.op for blocker in check.blockers}
        for op, count in decomposed.items():
            if op not in blocked and op not in made:
                check.decomposed[op] = check.decomposed.get(op, 0) + count
        note_warnings(check, function.graph)
        found = {f"{constraint} (on {node.where})" for node, constraint in function.node_constraints()}
        check.constraints += sorted(f"{text} in {name!r}" if len(model.functions) > 1 else text for text in found)
    check.constraints += [str(constraint) for constraint in model.constraints]
    return check


def legalized(graph: Graph, supports: Supports, target: str) -> Graph:
    """What the target would make of a graph.

    Raises:
        UnsupportedOpError: It lacks ops; all of them are listed.
    """
    own = target != "kx" and converter(target).legalize_verb
    return converter(target).verb("legalize_verb")(graph) if own else legalize(graph, supports, target)


def note_warnings(check: Check, graph: Graph) -> None:
    """Record every trap that a node of the graph is in."""
    for node in all_nodes(graph):
        for trap in TRAPS.values():
            if trap.applies(node):
                check.warnings.setdefault(trap.code, []).append(str(node.source or node.name or node.op))


def all_nodes(graph: Graph) -> Iterator[Node]:
    """Every node but leaves, also inside control flow."""
    pending = [graph]
    while pending:
        for node in pending.pop().nodes():
            if node.op in LEAVES:
                continue
            yield node
            for value in node.attrs.values():
                items = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
                pending += [item for item in items if isinstance(item, Graph)]
