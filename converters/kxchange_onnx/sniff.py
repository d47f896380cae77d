"""Recognising an ONNX file by its first bytes; imports nothing of ONNX."""

from __future__ import annotations

from pathlib import Path

from kxchange_onnx.wire import looks_like_a_model


def sniff(path: Path, head: bytes) -> str | None:
    """``"onnx"`` if the file is a serialized ModelProto."""
    if not path.is_file():
        return None
    return "onnx" if looks_like_a_model(head, path.stat().st_size) else None
