"""Writing tensor files: the same bytes for the same input, every array as it is, readable by the official library."""

from __future__ import annotations

import hashlib
import json
import random
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch

from kxchange.errors import FormatError, LimitError, WriteError
from kxchange.format.dtypes import storage_of
from kxchange.format.reader import TensorFile
from kxchange.format.writer import write_tensor_file
from kxchange.types import DType

KX = {"format": "pt", "kx": "{}"}
GRID = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
SMALL = np.arange(6, dtype=np.int16).reshape(2, 3)

ARRAYS: dict[str, np.ndarray] = {
    "plain": GRID,
    "transposed": GRID.T,
    "fortran": np.asfortranarray(GRID),
    "strided": GRID[:, ::2, 1::2],
    "reversed": GRID[::-1, :, ::-1],
    "broadcast": np.broadcast_to(GRID[0, 0], (5, 4)),
    "swapped": np.swapaxes(SMALL, 0, 1),
    "offset": GRID.reshape(-1)[1:14],
    "read-only": np.frombuffer(b"\x01\x02\x03", np.uint8),
    "big-endian": GRID.astype(">f4"),
    "big-endian-strided": SMALL.astype(">i2")[:, ::-1],
    "big-endian-complex": (GRID * 1j).astype(">c8"),
    "scalar": np.array(1.5),
    "numpy-scalar": np.array(np.int64(-3)),
    "empty": np.zeros((0, 3), np.int32),
    "empty-transposed": np.zeros((3, 0, 2)).T,
    "bool": np.array([[True, False], [False, True]]).T,
    "bfloat16": GRID.astype(ml_dtypes.bfloat16).T,
    "unicode-é-名": np.zeros(2, np.uint16),
}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where to write."""
    return tmp_path / "net.kx"


@pytest.mark.parametrize("name", ARRAYS)
def test_any_memory_layout_comes_back(target: Path, name: str) -> None:
    expected = ARRAYS[name].astype(ARRAYS[name].dtype.newbyteorder("="))
    write_tensor_file(target, {name: ARRAYS[name]}, KX)
    with TensorFile.open(target) as file:
        np.testing.assert_array_equal(file.tensor(name), expected, strict=True)
    np.testing.assert_array_equal(safetensors.numpy.load_file(target)[name], expected, strict=True)
    loaded = safetensors.torch.load_file(target)[name]
    assert tuple(loaded.shape) == expected.shape
    assert loaded.tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", list(DType))
@pytest.mark.parametrize("shape", [(), (3,), (5, 7), (0, 2), (64, 4)])
def test_every_element_type_comes_back(target: Path, dtype: DType, shape: tuple[int, ...]) -> None:
    # Any bytes will do: what matters is that the same bits return, NaN payloads included.
    count, width = int(np.prod(shape)), dtype.numpy.itemsize
    raw = np.random.default_rng(0).integers(0, 256, count * width, np.uint8) & (1 if dtype is DType.BOOL else 255)
    if dtype.bits < 8:
        integers = (raw & (2**dtype.bits - 1)).astype(np.int8)
        array = integers.view(dtype.numpy) if dtype.is_floating else integers.astype(dtype.numpy)
    else:
        array = raw.view(dtype.numpy)
    array = array.reshape(shape)
    written = write_tensor_file(target, {"x": array}, KX)
    with TensorFile.open(target) as file:
        for loaded in (file.tensor("x", dtype, shape), file.read("x", dtype, shape)):
            assert loaded.dtype == dtype.numpy
            assert loaded.shape == shape
            assert loaded.tobytes() == array.tobytes()
    assert written.entries[0].nbytes == -(-count * dtype.bits // 8)
    assert safetensors.torch.load_file(target)["x"].nbytes == written.entries[0].nbytes


@pytest.mark.parametrize(
    ("array", "code", "shape", "data"),
    [
        (np.array([1, -1, 7]).astype(ml_dtypes.int4), "U8", (2,), b"\xf1\x07"),
        (np.array([[1], [15]]).astype(ml_dtypes.uint4), "U8", (1,), b"\xf1"),
        (np.array([0, 1, 2, 3, 1]).astype(ml_dtypes.uint2), "U8", (2,), b"\xe4\x01"),
        (np.array([0, 1, -2, -1]).astype(ml_dtypes.int2), "U8", (1,), b"\xe4"),
        (np.array([1.0, -2.0, 0.5]).astype(ml_dtypes.float4_e2m1fn), "U8", (2,), b"\xc2\x01"),
        (np.array(1 - 2j), "F64", (2,), b"\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\xc0"),
        (np.array([1.0], ml_dtypes.float8_e8m0fnu), "F8_E8M0", (1,), b"\x7f"),
    ],
)
def test_types_that_safetensors_lacks_have_a_pinned_form(
    target: Path, array: np.ndarray, code: str, shape: tuple[int, ...], data: bytes
) -> None:
    entry = write_tensor_file(target, {"x": array}, KX).entries[0]
    assert (entry.dtype, entry.shape) == (code, shape)
    storage = storage_of(DType.of(array.dtype), array.shape)
    assert (storage.code, storage.shape, storage.nbytes) == (code, shape, len(data))
    assert target.read_bytes()[4096:] == data


def test_bytes_depend_on_the_content_and_nothing_else(tmp_path: Path) -> None:
    names = list(ARRAYS)
    hashes: set[str] = set()
    for seed in range(5):
        random.Random(seed).shuffle(names)
        target = tmp_path / f"{seed}.kx"
        metadata = KX if seed % 2 else dict(reversed(KX.items()))
        arrays = {name: ARRAYS[name] if seed % 2 else ARRAYS[name].copy(order="F") for name in names}
        write_tensor_file(target, arrays, metadata)
        hashes.add(hashlib.sha256(target.read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_large_tensors_lie_at_multiples_of_64(target: Path) -> None:
    arrays = {f"t{i}": np.ones(size, np.float32) for i, size in enumerate([1, 16, 3, 32, 5, 1024])}
    write_tensor_file(target, arrays, KX)
    with TensorFile.open(target) as file:
        for name, array in arrays.items():
            address = file.tensor(name).ctypes.data
            assert address % (64 if array.nbytes % 64 == 0 else 4) == 0


def test_metadata_can_hold_the_hashes_of_the_tensors(target: Path) -> None:
    def metadata(hashes: Any) -> dict[str, str]:
        return {"format": "pt", "kx": json.dumps(dict(sorted(hashes.items())), separators=(",", ":"))}

    written = write_tensor_file(target, {"b": GRID, "a": SMALL.T}, metadata)
    expected = {
        "a": hashlib.sha256(np.ascontiguousarray(SMALL.T).tobytes()).hexdigest(),
        "b": hashlib.sha256(GRID.tobytes()).hexdigest(),
    }
    with TensorFile.open(target) as file:
        assert json.loads(file.metadata["kx"]) == expected == written.sha256
        assert {name: file.sha256(name) for name in file.names} == expected
    assert written.size == target.stat().st_size


def test_metadata_of_changing_length_is_refused(target: Path) -> None:
    lengths = iter(["x" * 10, "x" * 5000])
    with pytest.raises(WriteError, match="different lengths"):
        write_tensor_file(target, {"a": GRID}, lambda hashes: {"kx": next(lengths)})
    assert not list(target.parent.iterdir())


@dataclass
class Lazy:
    """A tensor that is made, or fails, when it is read."""

    dtype: DType
    shape: tuple[int, ...]
    values: Any

    def read(self) -> np.ndarray:
        if isinstance(self.values, BaseException):
            raise self.values
        return self.values() if callable(self.values) else self.values


def test_lazy_tensors_are_read_one_at_a_time(target: Path) -> None:
    arrays: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    class Tracked(np.ndarray):
        __hash__ = object.__hash__

    def read(value: int) -> np.ndarray:
        nonlocal most
        array = np.full(1000, value, np.float32).view(Tracked)
        arrays.add(array)
        most = max(most, len(arrays))
        return array

    tensors = {f"t{i}": Lazy(DType.FLOAT32, (1000,), partial(read, i)) for i in range(10)}
    write_tensor_file(target, tensors, KX)
    assert most <= 2
    with TensorFile.open(target) as file:
        assert [file.tensor(f"t{i}")[0] for i in range(10)] == list(range(10))


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.zeros(3, np.float64), WriteError, "announced as float32.* and is float64"),
        (np.zeros(4, np.float32), WriteError, "announced as .*3.* and is .*4"),
        (np.zeros((3, 1), np.float32), WriteError, "announced"),
        (OSError("source is gone"), FormatError, "tensor 't' could not be read: source is gone"),
        (RuntimeError("boom"), RuntimeError, "boom"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
)
def test_a_tensor_that_fails_leaves_the_old_file(target: Path, values: Any, error: Any, message: str) -> None:
    write_tensor_file(target, {"a": GRID}, KX)
    before = target.read_bytes()
    with pytest.raises(error, match=message):
        write_tensor_file(target, {"a": GRID, "t": Lazy(DType.FLOAT32, (3,), values)}, KX)
    assert target.read_bytes() == before
    assert [entry.name for entry in target.parent.iterdir()] == ["net.kx"]


def bad_names() -> Iterator[tuple[str, type[Exception]]]:
    """Names a file must not have."""
    yield from ((name, FormatError) for name in ("", "__metadata__", "__kx__x", "a\0", "a\n", "\u202e", "e\u0301"))
    yield "\ud800", FormatError
    yield "n" * 513, LimitError


@pytest.mark.parametrize(("name", "error"), list(bad_names()))
def test_names_that_could_not_be_read_are_not_written(target: Path, name: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="Cannot write"):
        write_tensor_file(target, {name: GRID}, KX)
    assert not target.exists()


@pytest.mark.parametrize(
    "array", [np.array([None]), np.array(["x"]), np.array([1], np.longdouble), np.array(0, "M8[s]")]
)
def test_arrays_without_an_element_type_are_refused_by_name(target: Path, array: np.ndarray) -> None:
    with pytest.raises(WriteError, match="tensor 'x'"):
        write_tensor_file(target, {"x": array}, KX)


def test_bools_made_of_other_memory_become_0_and_1(target: Path) -> None:
    write_tensor_file(target, {"x": np.array([0, 1, 2, 255], np.uint8).view(np.bool_)}, KX)
    assert target.read_bytes()[4096:] == b"\x00\x01\x01\x01"


def test_saving_over_a_file_that_is_mapped(target: Path) -> None:
    write_tensor_file(target, {"a": GRID}, KX)
    with TensorFile.open(target) as file:
        view = file.tensor("a")
        write_tensor_file(target, {"a": view[:, ::-1]}, KX)
        np.testing.assert_array_equal(view, GRID)
    np.testing.assert_array_equal(safetensors.numpy.load_file(target)["a"], GRID[:, ::-1])


def test_a_weights_file_without_metadata_is_read_by_the_official_library(tmp_path: Path) -> None:
    target = tmp_path / "weights.safetensors"
    write_tensor_file(target, {"a": [[1.0, 2.0]], "b": 3})
    with safetensors.safe_open(target, "np") as file:
        assert file.metadata() is None
        assert file.get_tensor("a").tolist() == [[1.0, 2.0]]
    write_tensor_file(target, {})
    assert safetensors.numpy.load_file(target) == {}


def test_the_official_library_sees_the_architecture(target: Path) -> None:
    write_tensor_file(target, {"a": GRID}, {"format": "pt", "kx": '{"text":"é \\"x\\""}'})
    with safetensors.safe_open(target, "pt") as file:
        assert file.metadata() == {"format": "pt", "kx": '{"text":"é \\"x\\""}'}
