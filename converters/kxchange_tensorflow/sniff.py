"""Recognising TensorFlow's files by their content; imports nothing of TensorFlow."""

from __future__ import annotations

from pathlib import Path

from kxchange.errors import FormatError
from kxchange_tensorflow.wire import varint

GRAPH_FILE = "saved_model.pb"


def sniff(path: Path, head: bytes) -> str | None:
    """``"savedmodel"``, ``"tflite"`` or ``"graphdef"`` if the file is one."""
    if is_saved_model(path):
        return "savedmodel"
    if is_tflite(head):
        return "tflite"
    return "graphdef" if path.is_file() and is_graph(head) else None


def is_saved_model(path: Path) -> bool:
    """Whether the path is a SavedModel folder, or the graph in one."""
    return (path.is_dir() and (path / GRAPH_FILE).is_file()) or path.name == GRAPH_FILE


def is_tflite(head: bytes) -> bool:
    """Whether a file begins as TFLite files do."""
    return head[4:8] == b"TFL3"


def is_graph(head: bytes) -> bool:
    """Whether a file begins with a node of a graph: a message with a name and an operator."""
    data = memoryview(head)
    try:
        if not head or head[0] != 0x0A:
            return False
        length, at = varint(data, 1)
        name = _text(data, at, 0x0A)
        if name is None or name[1] > at + length:
            return False
        operator = _text(data, name[1], 0x12)
    except FormatError:
        return False
    return operator is not None and operator[0].isidentifier()


def _text(data: memoryview, at: int, tag: int) -> tuple[str, int] | None:
    if at >= len(data) or data[at] != tag:
        return None
    length, at = varint(data, at + 1)
    if not 0 < length < 1000 or at + length > len(data):
        return None
    try:
        return bytes(data[at : at + length]).decode("utf-8"), at + length
    except UnicodeDecodeError:
        return None
