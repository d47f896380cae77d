"""Where a node stands in its source: names for messages, and the name and source that its canonical nodes carry."""

from __future__ import annotations

import re

import onnx

from kxchange.graph import Source

_SOURCE = re.compile(r"(?:(?P<file>[^\s():]{1,200}):(?P<line>\d{1,9}))?(?: ?\((?P<path>[^()]{0,200})\))?")
_SCOPES = re.compile(r"'([^']*)'")
_LIMIT = 200


def node_name(node: onnx.NodeProto, *, own: bool = False) -> str:
    """The node's name, that of its first output where it has none.

    What this converter writes is called after the canonical node, with the operator behind it: it is cut off.
    """
    name = node.name or next((name for name in node.output if name), "")
    if own:
        stem, _, last = name.rpartition("/")
        op, _, number = last.rpartition("_")
        if stem and node.op_type in (last, op) and (last == node.op_type or number.isdigit()):
            name = stem
    return name[:_LIMIT]


def place_of(node: onnx.NodeProto, path: str = "") -> str:
    """A node as messages call it."""
    name = repr(node_name(node)) if node_name(node) else "an unnamed node"
    return f"{node.op_type} {name}" + (f" in {path}" if path else "")


def source_of(node: onnx.NodeProto, *, own: bool = False) -> Source | None:
    """Where the node comes from, as far as exporters tell; what this converter wrote says it or has no source."""
    properties = {entry.key: entry.value for entry in node.metadata_props}
    path = properties.get("kxchange.path") or _scopes(properties.get("pkg.torch.onnx.name_scopes", ""))
    found = _SOURCE.fullmatch(node.doc_string) if "kxchange.path" in properties or node.doc_string else None
    if found and (found["file"] or found["path"]):
        return Source(found["file"] or "", int(found["line"] or 0), path or found["path"] or "")
    path = path or ("" if own else _folder(node.name))
    return Source(path=path[:_LIMIT]) if path else None


def _scopes(listed: str) -> str:
    """The module path in torch's list of scopes: the last but one, since the last is the node."""
    scopes = _SCOPES.findall(listed[:2000])
    return scopes[-2] if len(scopes) > 1 else ""


def _folder(name: str) -> str:
    """The module path in a name like ``/encoder/layer.0/MatMul``."""
    parts = [part for part in name.split("/")[:-1] if part]
    return ".".join(parts)
