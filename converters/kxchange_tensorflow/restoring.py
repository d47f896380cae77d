"""Which key of the checkpoint each variable is restored from, read off the graph that would restore it."""

from __future__ import annotations

from collections.abc import Mapping

from kxchange_tensorflow.graph_lifting import reference
from kxchange_tensorflow.graph_proto import FunctionName, GraphRecord, NodeRecord, TensorData
from kxchange_tensorflow.wire import Message

ASSIGNS = frozenset({"Assign", "AssignVariableOp"})
PASSING = frozenset({"Identity", "Cast"})


def checkpoint_keys(graph: Message, record: GraphRecord) -> dict[str, str]:
    """Checkpoint key by the name of a variable's node; what the graph does not tell is missing."""
    restore = record.nodes.get(graph.message(3).text(3))
    if restore is None:
        return {}
    target = restore.attrs.get("f")
    function = record.functions.get(target.name) if isinstance(target, FunctionName) else None
    if function is None:
        return _assigned(record.nodes)
    handles = dict(zip(function.inputs, restore.data, strict=False))
    found = _assigned(function.nodes)
    return {reference(handles[name], record.nodes)[0]: key for name, key in found.items() if name in handles}


def _assigned(nodes: Mapping[str, NodeRecord]) -> dict[str, str]:
    """Key by variable for every assignment of something restored."""
    found: dict[str, str] = {}
    for node in nodes.values():
        if node.op in ASSIGNS and len(node.data) == 2:
            key = _restored(node.data[1], nodes)
            if key:
                found.setdefault(node.data[0].split(":")[0], key)
    return found


def _restored(text: str, nodes: Mapping[str, NodeRecord]) -> str:
    """The key behind a tensor that is a result of a restoring node; empty where it is none."""
    for _ in range(4):
        name, index = reference(text, nodes)
        node = nodes.get(name)
        if node is None:
            return ""
        if node.op == "RestoreV2" and len(node.data) == 3:
            keys = nodes.get(reference(node.data[1], nodes)[0])
            data = keys.attrs.get("value") if keys is not None else None
            strings = data.strings if isinstance(data, TensorData) else []
            return strings[index].decode("utf-8", "replace") if index < len(strings) else ""
        if node.op not in PASSING or not node.data:
            return ""
        text = node.data[0]
    return ""
