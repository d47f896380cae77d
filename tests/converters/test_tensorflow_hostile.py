"""Damaged and hostile TensorFlow files end in an error of kxchange, whatever they hold; nothing is run."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import corpus
from protobuf_fields import attr, block, whole

from kxchange.errors import FormatError, KxchangeError, LimitError, UnsupportedOpError
from kxchange_tensorflow.bundle import Bundle
from kxchange_tensorflow.flatbuffer import Buffer
from kxchange_tensorflow.graph_proto import graph_of
from kxchange_tensorflow.load import load
from kxchange_tensorflow.snappy import unpack
from kxchange_tensorflow.sniff import sniff
from kxchange_tensorflow.wire import Message


def node(name: str, op: str, *inputs: str, attrs: bytes = b"") -> bytes:
    return block(1, block(1, name) + block(2, op) + b"".join(block(3, i) for i in inputs) + attrs)


FLOAT = attr("T", whole(6, 1))
PLACEHOLDER = node(
    "x", "Placeholder", attrs=attr("dtype", whole(6, 1)) + attr("shape", block(7, block(2, whole(1, 3))))
)


def graph(tmp_path: Path, *nodes: bytes) -> Path:
    path = tmp_path / "net.pb"
    path.write_bytes(b"".join(nodes))
    return path


def survives(read: Callable[[], Any]) -> None:
    """Whatever happens is an error of kxchange, or a model."""
    try:
        read()
    except KxchangeError:
        return


@pytest.mark.parametrize(
    "name", ["dev_helloworld_int8_tflite", "dev_keypoint_classifier_tflite", "dev_tract_keras_tf1_pb"]
)
def test_damaged_files(name: str, tmp_path: Path) -> None:
    original = corpus(name).path.read_bytes()
    generator, path = np.random.default_rng(0), tmp_path / "net"
    for _ in range(150):
        data = bytearray(original)
        for place in generator.integers(0, min(len(data), 3000), 3):
            data[place] = generator.integers(0, 256)
        if generator.random() < 0.3:
            data = data[: generator.integers(8, len(data))]
        path.write_bytes(data)
        survives(lambda: load(path))


@pytest.mark.parametrize(
    "part", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
def test_a_damaged_saved_model(part: str, tmp_path: Path) -> None:
    folder = tmp_path / "net"
    shutil.copytree(corpus("dev_serving_hpt_cpu_savedmodel").path, folder, copy_function=shutil.copyfile)
    for place in (folder, *folder.rglob("*")):
        place.chmod(0o755)
    target, generator = folder / part, np.random.default_rng(0)
    original = target.read_bytes()
    for _ in range(60):
        data = bytearray(original)
        for place in generator.integers(0, len(data), 3):
            data[place] = generator.integers(0, 256)
        target.write_bytes(data[: generator.integers(1, len(data) + 1)] if generator.random() < 0.4 else data)
        survives(lambda: load(folder))


def test_an_offset_outside_of_the_flatbuffer() -> None:
    with pytest.raises(FormatError):
        Buffer(memoryview(struct.pack("<II", 2**32 - 4, 0))).root()


def test_a_vtable_before_the_file() -> None:
    with pytest.raises(FormatError):
        Buffer(memoryview(struct.pack("<Ii", 4, 2**31 - 1))).root()


def test_an_external_buffer_that_wraps_around(tmp_path: Path) -> None:
    # Field 1 and 2 of a buffer are a 64-bit offset and size: their sum must not wrap.
    table = struct.pack("<HHHHHxx", 10, 20, 0, 4, 12) + struct.pack("<iQQ", 12, 2**64 - 8, 64)
    buffer = Buffer(memoryview(struct.pack("<I", 16) + table))
    root = buffer.root()
    with pytest.raises(FormatError):
        root.bytes_at(root.number(1, "uint64", 0), root.number(2, "uint64", 0))


def test_operators_that_touch_the_machine_are_refused_by_name(tmp_path: Path) -> None:
    path = graph(
        tmp_path,
        PLACEHOLDER,
        node(
            "name",
            "Const",
            attrs=attr("dtype", whole(6, 7)) + attr("value", block(8, whole(1, 7) + block(8, "secret"))),
        ),
        node("read", "ReadFile", "name"),
        node("run", "PyFunc", "x", attrs=FLOAT),
        node("both", "Pack", "run", "x", attrs=FLOAT),
    )
    with pytest.raises(UnsupportedOpError) as caught:
        load(path)
    assert {blocker.op for blocker in caught.value.blockers} >= {"ReadFile", "PyFunc"}


def test_a_side_effect_that_no_output_needs_is_left_out(tmp_path: Path) -> None:
    path = graph(
        tmp_path, PLACEHOLDER, node("write", "WriteFile", "x", "x"), node("y", "Relu", "x", "^write", attrs=FLOAT)
    )
    model = load(path, outputs=["y:0"])
    np.testing.assert_array_equal(model(**{"x:0": np.float32([-1, 0, 2])})["y:0"], [0, 0, 2])


def test_loops_of_tensorflow_1(tmp_path: Path) -> None:
    path = graph(
        tmp_path, node("a", "Relu", "b", attrs=FLOAT), node("b", "Relu", "a", attrs=FLOAT), node("c", "Relu", "a")
    )
    with pytest.raises(FormatError, match="cycle"):
        load(path)


def test_a_constant_that_would_fill_the_memory(tmp_path: Path) -> None:
    huge = block(2, whole(1, 2**40))
    value = block(8, whole(1, 1) + block(2, huge) + block(5, struct.pack("<f", 1.0)))
    path = graph(
        tmp_path, node("c", "Const", attrs=attr("dtype", whole(6, 1)) + attr("value", value)), node("y", "Relu", "c")
    )
    with pytest.raises(KxchangeError):
        load(path)


def test_functions_that_call_themselves() -> None:
    body = block(
        3, block(1, "again") + block(2, "PartitionedCall") + block(3, "a") + attr("f", block(10, block(1, "f")))
    )
    signature = block(1, block(1, "f") + block(2, block(1, "a")) + block(3, block(1, "y")))
    function = block(1, signature + body + block(4, block(1, "y") + block(2, "again:output:0")))
    data = (
        PLACEHOLDER + node("y", "PartitionedCall", "x", attrs=attr("f", block(10, block(1, "f")))) + block(2, function)
    )
    record = graph_of(Message(memoryview(data)))
    assert list(record.functions) == ["f"]
    from kxchange_tensorflow.graph_lifting import GraphLifter
    from kxchange_tensorflow.graph_rules import lift
    from kxchange_tensorflow.lift import SCOPE

    lifter = GraphLifter(record, lift, SCOPE.knowledge, lambda *_: None, lambda _: None)  # pyright: ignore
    with pytest.raises(LimitError, match="call themselves"):
        lifter.run({"x:0": object()}, ["y:0"])


def test_messages_nested_without_end() -> None:
    data = b""
    for _ in range(200):
        data = block(1, data)
    message = Message(memoryview(data))
    with pytest.raises(LimitError):
        for _ in range(200):
            message = message.message(1)


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff\x0f", b"\x05\x00", b"\x04\x01\x09", b"\x10\x00a\xfe\x10\x00", b"\x02\xf4\xff"]
)
def test_damaged_packed_blocks(data: bytes) -> None:
    with pytest.raises(FormatError):
        unpack(memoryview(data))


def test_a_packed_block() -> None:
    # "abcd" as a literal, then a copy of 8 bytes from 4 before: it overlaps what it writes.
    assert unpack(memoryview(bytes([12, 3 << 2]) + b"abcd" + bytes([7 << 2 | 2, 4, 0]))) == b"abcdabcdabcd"


def test_a_checkpoint_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "variables.index").write_bytes(b"x" * 100)
    with pytest.raises(FormatError, match="no string table"):
        Bundle(tmp_path / "variables")


@pytest.mark.parametrize("head", [b"", b"\x08\x07\x12\x04test", b"PK\x03\x04", b"\x0a\xff\xff\xff\xff\xff", b"TFL3TFL"])
def test_other_files_are_not_recognised(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(head)
    assert sniff(path, head) is None
