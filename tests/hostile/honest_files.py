"""Sound files that the hostile ones are made from."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import kxchange as kx
from kxchange import ops
from kxchange.dims import symbol
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter, Role
from kxchange.types import DType, TensorType


def honest_model() -> Model:
    """`relu(x @ w.T + b)`, with a tied name, a bool buffer and an unused one."""
    batch = symbol("batch")
    entries = [
        Parameter("w", np.arange(16, dtype=np.float32).reshape(4, 4)),
        Parameter("b", np.arange(4, dtype=np.float32)),
        Parameter("tied", np.zeros((4, 4), np.float32), alias_of="w"),
        Parameter("mask", np.array([True, False, True]), role=Role.BUFFER),
    ]
    x = placeholder("x", TensorType(DType.FLOAT32, (batch, 4)))
    y = ops.relu(ops.linear(x, parameter("w", entries[0].type), parameter("b", entries[1].type)))
    return Model({"main": Function(Graph((x,), (y,)), ("y",))}, entries, metadata={"licence": "MIT"})


def honest_kx(folder: Path) -> Path:
    """The model as `net.kx`."""
    path = folder / "net.kx"
    kx.save(honest_model(), path)
    return path


def read_header(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header table and the data section, read without kxchange."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write_header(table: Any, data: bytes) -> bytes:
    """A container of a table, spelled canonically without kxchange."""
    text = spell(table).encode("utf-8", "surrogatepass")
    text += b" " * (-(8 + len(text)) % 4096)
    return struct.pack("<Q", len(text)) + text + data


def spell(value: Any) -> str:
    """Canonical JSON by the standard library."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def edited(change: Callable[[Any], Any], *, text: Callable[[str], str] = str) -> Callable[[Path], None]:
    """Writes the sound file with its document changed, as a value and then as text."""

    def make(folder: Path) -> None:
        path = honest_kx(folder)
        table, data = read_header(path.read_bytes())
        document = json.loads(table["__metadata__"]["kx"])
        changed = change(document)
        table["__metadata__"]["kx"] = text(spell(document if changed is None else changed))
        path.write_bytes(write_header(table, data))

    return make
