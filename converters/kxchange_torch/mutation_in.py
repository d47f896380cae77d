"""Writes inside a traced graph: which are harmless rebindings, and which need the graph functionalised first."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from torch import fx

from kxchange_torch.private import schema_of


@cache
def written_arguments(target: Any) -> tuple[int, ...]:
    """Positions of the arguments that an operator writes to."""
    schema = getattr(target, "_schema", None) and schema_of(target)
    if not schema or not schema.is_mutable:
        return ()
    return tuple(i for i, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write)


@cache
def _viewed_argument(target: Any) -> int | None:
    """Position of the argument that the result may share memory with."""
    schema = getattr(target, "_schema", None) and schema_of(target)
    if not schema or not any(result.alias_info is not None for result in schema.returns):
        return None
    return next((i for i, a in enumerate(schema.arguments) if a.alias_info is not None), None)


def needs_functionalisation(module: fx.GraphModule) -> bool:
    """Whether an operator writes to an input, a parameter, a buffer or a memory with other names still in use.

    Autocast regions need the same treatment: their casts are implicit until then.
    """
    return any(_writes_through_alias(graph) or _casts_implicitly(graph) for graph in _graphs(module))


def _casts_implicitly(graph: fx.Graph) -> bool:
    return any(
        node.op == "call_function" and getattr(node.target, "__name__", "") == "wrap_with_autocast" and node.args[2]
        for node in graph.nodes
    )


def _graphs(module: fx.GraphModule) -> Iterator[fx.Graph]:
    for child in module.modules():
        if isinstance(child, fx.GraphModule):
            yield child.graph


def _writes_through_alias(graph: fx.Graph) -> bool:
    position = {node: index for index, node in enumerate(graph.nodes)}
    root: dict[fx.Node, fx.Node] = {}
    family: dict[fx.Node, list[fx.Node]] = {}
    for node in graph.nodes:
        for argument in _nodes_at(node, written_arguments(node.target)):
            origin = root.get(argument, argument)
            if origin.op in ("placeholder", "get_attr") or _others_live(family[origin], argument, node, position):
                return True
        source = _source_of_view(node)
        root[node] = origin = node if source is None else root.get(source, source)
        family.setdefault(origin, []).append(node)
    return False


def _source_of_view(node: fx.Node) -> fx.Node | None:
    """The node whose memory this one's result may share."""
    if node.op != "call_function":
        return None
    if getattr(node.target, "__name__", "") == "getitem":
        container = node.args[0]
        shares = isinstance(container, fx.Node) and _viewed_argument(container.target) is not None
        return container if shares else None  # pyright: ignore[reportReturnType]
    index = _viewed_argument(node.target)
    return None if index is None else next(iter(_nodes_at(node, (index,))), None)


def _nodes_at(node: fx.Node, indices: tuple[int, ...]) -> list[fx.Node]:
    found: list[fx.Node] = []
    for index in indices:
        value = node.args[index] if index < len(node.args) else None
        items = value if isinstance(value, list | tuple) else [value]
        found += [item for item in items if isinstance(item, fx.Node)]
    return found


def _others_live(family: list[fx.Node], written: fx.Node, writer: fx.Node, position: dict[fx.Node, int]) -> bool:
    """Whether another name of the same memory is read after the write."""
    after = position[writer]
    return any(position[user] > after for other in family if other is not written for user in other.users)
