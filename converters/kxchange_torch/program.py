"""Python code for a traced graph: statements whose every name is ours, over functions held beside them.

`torch.fx` writes source from the names it is given, and names come from files. Here a name never reaches the source:
identifiers are made from operation names and numbers, and anything that is not a plain literal is passed in as a value.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import fx

from kxchange_torch.private import operator_called, operator_name

INFIX: dict[Any, str] = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.pow: "**",
    operator.and_: "&",
    operator.or_: "|",
    operator.xor: "^",
    operator.lshift: "<<",
    operator.rshift: ">>",
    operator.eq: "==",
    operator.ne: "!=",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
}
SHARED = frozenset({*INFIX, getattr, torch.sym_max, torch.sym_min})
"""Functions without effects that dims are computed with."""
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Program:
    """One generated function, with its source and the values that the source refers to.

    Immutable: copies of a module share it. It pickles as source and values, so that `torch.save(module)` works.

    Attributes:
        source: Python text, for reading.
        values: What the names in the source that are not locals stand for.
        function: The function itself.
    """

    def __init__(self, source: str, values: dict[str, Any]) -> None:
        self.source = source
        self.values = values
        scope = dict(values)
        exec(compile(source, "<kxchange>", "exec"), scope)  # written by `generate` from our own identifiers only
        self.function: Callable[..., tuple[Any, ...]] = scope["run"]

    def __copy__(self) -> Program:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        names = {key: name for key, value in self.values.items() if (name := operator_name(value)) is not None}
        return restore, (self.source, {k: v for k, v in self.values.items() if k not in names}, names)

    def __call__(self, *args: Any) -> tuple[Any, ...]:
        """Run on the arguments, in the order of the traced placeholders."""
        return self.function(*args)


def restore(source: str, values: dict[str, Any], operators: dict[str, str]) -> Program:
    """A pickled program, with torch's operators looked up again."""
    return Program(source, {**values, **{key: operator_called(name) for key, name in operators.items()}})


def generate(placeholders: Sequence[fx.Node], outputs: Sequence[Any]) -> Program:
    """Write the function from `placeholders` to `outputs` (nodes or plain values); dead nodes are left out."""
    graph = placeholders[0].graph if placeholders else next((o.graph for o in outputs if isinstance(o, fx.Node)), None)
    if graph is not None:
        _share_arithmetic(graph)
    live = _live_nodes(graph.nodes if graph else (), outputs)
    writer = _Writer(placeholders)
    expiring = _last_uses(live, outputs)
    lines = [f"def run({', '.join(writer.names[node] for node in placeholders)}):"]
    for node in live:
        if node.op == "placeholder":
            continue
        lines.append(f"    {writer.statement(node)}")
        if expired := [writer.names[old] for old in expiring.get(node, ()) if old.op != "placeholder"]:
            lines.append(f"    del {', '.join(expired)}")
    lines.append(f"    return {writer.render(tuple(outputs))}")
    return Program("\n".join(lines) + "\n", writer.values)


def _share_arithmetic(graph: fx.Graph) -> None:
    """Compute a size, and what follows from sizes, once."""
    first: dict[Any, fx.Node] = {}
    for node in list(graph.nodes):
        if not (node.op == "call_method" and node.target == "size") and node.target not in SHARED:
            continue
        key = (node.op, node.target, tuple((type(arg), arg) for arg in node.args))
        if (same := first.setdefault(key, node)) is not node:
            node.replace_all_uses_with(same)


def _live_nodes(nodes: Iterable[fx.Node], outputs: Sequence[Any]) -> list[fx.Node]:
    """The nodes that the outputs depend on, in order."""
    needed = {output for output in outputs if isinstance(output, fx.Node)}
    live: list[fx.Node] = []
    for node in reversed(list(nodes)):
        if node in needed:
            live.append(node)
            needed.update(node.all_input_nodes)
    return live[::-1]


def _last_uses(live: Sequence[fx.Node], outputs: Sequence[Any]) -> dict[fx.Node, list[fx.Node]]:
    """Which values are read for the last time by each node, so that memory is given back there."""
    kept = {output for output in outputs if isinstance(output, fx.Node)}
    last = {used: node for node in live for used in node.all_input_nodes}
    expiring: dict[fx.Node, list[fx.Node]] = {}
    for used, node in last.items():
        if used not in kept:
            expiring.setdefault(node, []).append(used)
    return expiring


class _Writer:
    """Names for the values of one function."""

    def __init__(self, placeholders: Sequence[fx.Node]) -> None:
        self.names = {node: f"x{index}" for index, node in enumerate(placeholders)}
        self.values: dict[str, Any] = {}
        self._by_identity: dict[int, str] = {}

    def statement(self, node: fx.Node) -> str:
        """The assignment that computes a node."""
        name = f"{_identifier(node)}_{len(self.names)}"
        expression = self.expression(node)
        self.names[node] = name
        return f"{name} = {expression}"

    def expression(self, node: fx.Node) -> str:
        """The right side: an operator, a method call or a function call."""
        if node.op == "call_method":
            receiver, *args = node.args
            return f"{self.render(receiver)}.{_checked(str(node.target))}({self._arguments(args, node.kwargs)})"
        if node.target in INFIX:
            left, right = map(self.render, node.args)
            return f"{left} {INFIX[node.target]} {right}"
        if node.target is operator.getitem:
            return f"{self.render(node.args[0])}[{self._index(node.args[1])}]"
        if node.target is getattr:
            return f"{self.render(node.args[0])}.{_checked(str(node.args[1]))}"
        return f"{self.bound(node.target)}({self._arguments(node.args, node.kwargs)})"

    def _arguments(self, args: Sequence[Any], kwargs: dict[str, Any]) -> str:
        return ", ".join([*map(self.render, args), *(f"{_checked(k)}={self.render(v)}" for k, v in kwargs.items())])

    def render(self, value: Any) -> str:
        """Source text of an argument: a name of ours, or a literal."""
        if isinstance(value, fx.Node):
            return self.names[value]
        if isinstance(value, (tuple, list)):
            inner = ", ".join(map(self.render, value))
            return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
        if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
            text = repr(value)
            return f"({text})" if text.startswith("-") else text
        return self.bound(value)

    def _index(self, index: Any) -> str:
        """What stands between brackets: slices in their own notation."""
        parts = index if isinstance(index, tuple) else (index,)
        return ", ".join(map(self._position, parts)) + ("," if isinstance(index, tuple) and len(parts) == 1 else "")

    def _position(self, part: Any) -> str:
        if not isinstance(part, slice):
            return "..." if part is Ellipsis else self.render(part)
        start, stop = ("" if limit is None else self.render(limit) for limit in (part.start, part.stop))
        return f"{start}:{stop}" + ("" if part.step is None else f":{self.render(part.step)}")

    def bound(self, value: Any) -> str:
        """A name for a function or object that source text cannot hold."""
        key = id(value)
        if key not in self._by_identity:
            self._by_identity[key] = f"g{len(self.values)}_{_identifier(value)}"
            self.values[self._by_identity[key]] = value
        return self._by_identity[key]


def _identifier(thing: Any) -> str:
    """A readable stem: the name of the function that a node calls."""
    target = thing.target if isinstance(thing, fx.Node) else thing
    name = target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)
    stem = name.strip("_")
    return stem if IDENTIFIER.fullmatch(stem) and len(stem) < 40 else "value"


def _checked(name: str) -> str:
    """A method or keyword name, which only our own rules can have chosen."""
    if not IDENTIFIER.fullmatch(name):
        raise ValueError(f"{name!r} is no identifier")
    return name
