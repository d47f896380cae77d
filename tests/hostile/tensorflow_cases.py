"""Cases 89, 90 and 96: SavedModels, graphs and TFLite files, written field by field."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from protobuf_fields import attr, block, varint, whole

from hostile.hostile_table import SAFE, Group


def bare(name: str, op: str, *inputs: str, attrs: bytes = b"") -> bytes:
    return block(1, name) + block(2, op) + b"".join(block(3, i) for i in inputs) + attrs


def node(name: str, op: str, *inputs: str, attrs: bytes = b"") -> bytes:
    return block(1, bare(name, op, *inputs, attrs=attrs))


FLOAT, TEXT = attr("T", whole(6, 1)), attr("dtype", whole(6, 7))
X = node("x", "Placeholder", attrs=attr("dtype", whole(6, 1)) + attr("shape", block(7, block(2, whole(1, 3)))))
PATH = node("path", "Const", attrs=TEXT + attr("value", block(8, whole(1, 7) + block(8, "/etc/passwd"))))


def graph(*nodes: bytes) -> Any:
    def make(folder: Path) -> Path:
        (folder / "net.pb").write_bytes(b"".join(nodes))
        return folder / "net.pb"

    return make


def honest(folder: Path) -> Path:
    return graph(X, node("y", "Relu", "x", attrs=FLOAT))(folder)


def function(name: str, *nodes: bytes, output: str) -> bytes:
    """A function with one float argument `a` and one result `y`."""
    argument = block(1, "a") + whole(3, 1)
    result = block(1, "y") + whole(3, 1)
    signature = block(1, block(1, name) + block(2, argument) + block(3, result))
    return block(2, block(1, signature + b"".join(nodes) + block(4, block(1, "y") + block(2, output))))


def calling(op: str, function_attr: str = "f") -> bytes:
    return node("y", op, "x", attrs=attr(function_attr, block(10, block(1, "inner"))) + FLOAT)


def saved(definition: bytes, **files: bytes) -> Any:
    """A SavedModel whose signature maps `x` to `y` of a graph."""

    def make(folder: Path) -> Path:
        tensor = lambda name: block(1, name) + whole(2, 1) + block(3, block(2, whole(1, 3)))  # noqa: E731
        signature = block(1, block(1, "x") + block(2, tensor("x:0"))) + block(
            2, block(1, "y") + block(2, tensor("y:0"))
        )
        signature += block(3, "tensorflow/serving/predict")
        meta = (
            block(1, block(4, "serve"))
            + block(2, definition)
            + block(5, block(1, "serving_default") + block(2, signature))
        )
        (folder / "saved_model.pb").write_bytes(whole(1, 1) + block(2, meta))
        for name, data in files.items():
            place = folder / name.replace("__", "/")
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(data)
        return folder

    return make


def table(*fields: bytes) -> bytes:
    """A flatbuffer with one root table of these inline fields, each of 8 bytes."""
    vtable = struct.pack("<HH", 4 + 2 * len(fields), 8 + 8 * len(fields))
    vtable += b"".join(struct.pack("<H", 8 + 8 * n) for n in range(len(fields)))
    vtable += bytes(-len(vtable) % 8)
    start = 8 + len(vtable)
    head = struct.pack("<I4s", start, b"TFL3")
    return head + vtable + struct.pack("<iI", start - 8, 0) + b"".join(field.ljust(8, b"\0") for field in fields)


def tflite(data: bytes) -> Any:
    def make(folder: Path) -> Path:
        (folder / "net.tflite").write_bytes(data)
        return folder / "net.tflite"

    return make


def cases() -> Group:
    group = Group("tensorflow", honest)
    dangerous(group)
    saved_models(group)
    flatbuffers(group)
    return group


def dangerous(group: Group) -> None:
    read = node("y", "ReadFile", "path")
    written = node("w", "WriteFile", "path", "path")
    for op, nodes in {
        "ReadFile": (PATH, read),
        "WriteFile": (X, PATH, written, node("y", "Pack", "x", "w", attrs=FLOAT)),
        "PyFunc": (X, node("y", "PyFunc", "x", attrs=attr("token", block(2, "pyfunc_0")))),
        "MatchingFiles": (PATH, node("y", "MatchingFiles", "path")),
        "WholeFileReaderV2": (node("y", "WholeFileReaderV2"),),
        "SaveV2": (X, PATH, node("y", "SaveV2", "path", "path", "path", "x")),
        "Kx_Trap": (X, node("y", "Kx_Trap", "x")),
        "__class__": (X, node("y", "__class__", "x")),
    }.items():
        group.add(89, f"{op} in a graph", graph(*nodes), op)
    for op, key in (("PartitionedCall", "f"), ("StatefulPartitionedCall", "f")):
        inner = function("inner", block(3, bare("r", "ReadFile", "a")), output="r:contents:0")
        group.add(89, f"ReadFile below {op}", graph(X, calling(op, key), inner), "ReadFile")
    body = function("inner", block(3, bare("r", "WriteFile", "a", "a")), output="r:contents:0")
    loop = attr("cond", block(10, block(1, "inner"))) + attr("body", block(10, block(1, "inner"))) + FLOAT
    group.add(89, "WriteFile in the body of While", graph(X, node("y", "While", "x", attrs=loop), body))
    again = function(
        "inner",
        block(3, bare("r", "PartitionedCall", "a", attrs=attr("f", block(10, block(1, "inner"))))),
        output="r:output:0",
    )
    group.add(89, "a function that calls itself", graph(X, calling("PartitionedCall"), again))
    group.add(89, "a cycle", graph(node("a", "Relu", "b", attrs=FLOAT), node("b", "Relu", "a", attrs=FLOAT)))
    huge = block(8, whole(1, 1) + block(2, block(2, whole(1, 2**40))) + block(5, struct.pack("<f", 1.0)))
    group.add(
        89, "a constant of 2^40 elements", graph(node("c", "Const", attrs=attr("value", huge)), node("y", "Relu", "c"))
    )
    nested = b""
    for _ in range(30_000):
        nested = block(1, nested)
    group.add(
        89,
        "messages nested 30,000 deep",
        graph(X, block(1, block(1, "y") + block(2, "Relu") + block(5, nested))),
        verdict=SAFE,
    )


def saved_models(group: Group) -> None:
    relu = X + node("y", "Relu", "x", attrs=FLOAT)
    group.add(89, "ReadFile in a SavedModel", saved(X + PATH + node("y", "ReadFile", "path")), "ReadFile")
    inner = function("inner", block(3, bare("r", "ReadFile", "a")), output="r:contents:0")
    group.add(89, "ReadFile below a signature", saved(X + calling("PartitionedCall") + inner), "ReadFile")
    variable = node(
        "v",
        "VarHandleOp",
        attrs=attr("dtype", whole(6, 1))
        + attr("shape", block(7, block(2, whole(1, 3))))
        + attr("shared_name", block(2, "v")),
    )
    reading = (
        X
        + variable
        + node("r", "ReadVariableOp", "v", attrs=attr("dtype", whole(6, 1)))
        + node("y", "AddV2", "x", "r", attrs=FLOAT)
    )
    for name, files in {
        "no variables": {},
        "index of noise": {"variables__variables.index": bytes(range(256)) * 8},
        "index empty": {"variables__variables.index": b""},
    }.items():
        group.add(90, f"variable with {name}", saved(reading, **files))
    asset = relu + block(7, block(1, block(1, "../../../etc/passwd")))
    group.add(90, "asset path outside", saved(asset), verdict=SAFE)
    group.add(90, "no graph", saved(b""))

    def absolute(folder: Path) -> Path:
        import struct as _struct

        saved(reading)(folder)
        (folder / "variables").mkdir()
        entry = whole(1, 1) + block(2, block(2, whole(1, 3))) + whole(3, 7) + whole(4, 2**62) + whole(5, 12)
        (folder / "variables" / "variables.index").write_bytes(sstable({b"": whole(1, 2**31), b"v": entry}))
        assert _struct
        return folder

    group.add(90, "shard and offset that do not exist", absolute)


def sstable(rows: dict[bytes, bytes]) -> bytes:
    """A TensorFlow checkpoint index of one block without compression."""

    def data_block(entries: dict[bytes, bytes]) -> bytes:
        body = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in sorted(entries.items()))
        return body + struct.pack("<II", 0, 1)

    first = data_block(rows)
    handle = varint(0) + varint(len(first))
    meta = data_block({})
    meta_handle = varint(len(first) + 5) + varint(len(meta))
    index = data_block({b"\xff": handle})
    index_handle = varint(len(first) + 5 + len(meta) + 5) + varint(len(index))
    footer = (meta_handle + index_handle).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    return b"".join(part + bytes(5) for part in (first, meta, index)) + footer


def flatbuffers(group: Group) -> None:
    wrap = struct.pack("<II", 2**32 - 8, 0)
    group.add(96, "root outside", tflite(struct.pack("<I4s", 2**32 - 4, b"TFL3") + bytes(64)))
    group.add(96, "root at an odd place", tflite(struct.pack("<I4s", 9, b"TFL3") + bytes(64)))
    group.add(96, "empty model", tflite(table()))
    group.add(96, "every field points outside", tflite(table(*[wrap] * 9)))
    group.add(96, "every field points to itself", tflite(table(*[bytes(8)] * 9)))
    loop = table(*[struct.pack("<II", 4, 4)] * 9)
    group.add(96, "vectors of 2^32", tflite(loop.replace(bytes(4), b"\xff\xff\xff\xff")))
    group.add(96, "nothing after the magic", tflite(struct.pack("<I4s", 8, b"TFL3")))
    group.add(96, "buffer that wraps around", corrupted_buffers)


def corrupted_buffers(folder: Path) -> Path:
    """A model written by kxchange whose every 32-bit word above 2^16 becomes a huge offset."""
    import numpy as np

    path = folder / "net.tflite"
    rows = bytearray(table(struct.pack("<I", 3), *[struct.pack("<I", 24 + 8 * n) for n in range(6)]))
    rows += np.full(64, 0x7FFFFFFF, np.uint32).tobytes()
    path.write_bytes(rows)
    return path
