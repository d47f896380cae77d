"""Opening tensor files: lazily, without a copy, and safely against files that change or are none."""

from __future__ import annotations

import gc
import hashlib
import os
import resource
import socket
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from kxchange.errors import FormatError
from kxchange.format.layout import build_header, lay_out
from kxchange.format.reader import TensorFile
from kxchange.format.writer import write_tensor_file
from kxchange.types import DType

KX = {"format": "pt", "kx": "{}"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A `.kx` file with two tensors."""
    target = tmp_path / "net.kx"
    arrays = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array([True, False, True])}
    write_tensor_file(target, arrays, KX)
    return target


def handmade(path: Path, code: str, shape: tuple[int, ...], data: bytes) -> Path:
    """A file with one tensor `x` of exactly these bytes."""
    path.write_bytes(build_header(lay_out([("x", code, shape)]), KX) + data)
    return path


def test_what_a_file_says_of_itself(path: Path) -> None:
    with TensorFile.open(path) as file:
        assert file.names == ("a", "b")
        assert "a" in file and "c" not in file
        assert file.metadata == KX
        assert file.entry("a").shape == (3, 4)
        assert file.data_offset == 4096
        assert repr(file) == f"TensorFile({str(path)!r}, 2 tensors)"
        with pytest.raises(FormatError, match="has no tensor 'c'"):
            file.tensor("c")


def test_tensors_are_read_only_views_of_one_map(path: Path) -> None:
    with TensorFile.open(path) as file:
        a = file.tensor("a")
        np.testing.assert_array_equal(a, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
        assert a.ctypes.data == file.tensor("a").ctypes.data
        assert a.ctypes.data % 64 == 0
        with pytest.raises(ValueError, match="read-only"):
            a[0, 0] = 1


def test_copy_on_write_views_leave_the_file_alone(path: Path) -> None:
    before = path.read_bytes()
    with TensorFile.open(path, mode="c") as file:
        file.tensor("a")[0, 0] = 99
        assert file.tensor("a")[0, 0] == 99
        assert file.read("a")[0, 0] == 0
    assert path.read_bytes() == before


def test_views_outlive_the_file_object(path: Path) -> None:
    file = TensorFile.open(path)
    a = file.tensor("a")
    file.close()
    file.close()
    del file
    gc.collect()
    assert a.sum() == 66


def test_a_closed_file_says_so(path: Path) -> None:
    file = TensorFile.open(path)
    file.close()
    for call in (file.tensor, file.read, file.sha256):
        with pytest.raises(FormatError, match="is closed"):
            call("a")


def test_no_descriptor_is_leaked(path: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.kx"
    bad.write_bytes(path.read_bytes()[:-1])
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        TensorFile.open(path)
        with pytest.raises(FormatError):
            TensorFile.open(bad)
        with pytest.raises(FormatError):
            TensorFile.open(tmp_path)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_hash_is_that_of_the_stored_bytes(path: Path) -> None:
    with TensorFile.open(path) as file:
        assert file.sha256("b") == hashlib.sha256(b"\x01\x00\x01").hexdigest()


def test_opening_four_gibibytes_costs_the_header(tmp_path: Path) -> None:
    target = tmp_path / "big.kx"
    entries = lay_out((f"layer.{i:02}", "F32", (4096, 4096)) for i in range(64))
    header = build_header(entries, KX)
    target.write_bytes(header)
    os.truncate(target, len(header) + 2**32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with TensorFile.open(target) as file:
        assert file.tensor("layer.63").shape == (4096, 4096)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 16 * 1024, f"{grown / 1024:.0f} MB"
    assert file.entry("layer.63").end == 2**32


@pytest.mark.parametrize("size", [0, 4, 4096, 4100])
def test_40_a_file_cut_after_opening_is_refused_and_does_not_kill(path: Path, size: int) -> None:
    with TensorFile.open(path) as file:
        os.truncate(path, size)
        for call in (file.tensor, file.read, file.sha256):
            with pytest.raises(FormatError, match="changed in place"):
                call("a")


def test_a_file_cut_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "net.kx"
    write_tensor_file(target, {"a": np.zeros(64, np.uint8)}, KX)
    with TensorFile.open(target) as file:
        monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: b"")
        with pytest.raises(FormatError, match="ends inside tensor 'a'"):
            file.read("a")


def test_short_reads_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: whole(descriptor, min(size, 64), offset))
    with TensorFile.open(path) as file:
        assert file.read("a").sum() == 66


def test_a_file_rewritten_in_place_is_refused(path: Path) -> None:
    with TensorFile.open(path) as file:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"\x00")
        os.utime(path, ns=(1, 1))
        with pytest.raises(FormatError, match="changed in place"):
            file.tensor("b")


def test_a_file_renamed_over_is_still_the_old_one(path: Path) -> None:
    with TensorFile.open(path) as file:
        a = file.tensor("a")
        write_tensor_file(path, {"a": np.zeros((3, 4), np.float32)}, KX)
        assert a.sum() == 66
        assert file.tensor("b").tolist() == [True, False, True]
    with TensorFile.open(path) as file:
        assert file.tensor("a").sum() == 0


@pytest.mark.parametrize("value", [2, 255])
def test_37_bools_other_than_0_and_1_are_refused(tmp_path: Path, value: int) -> None:
    with TensorFile.open(handmade(tmp_path / "x.kx", "BOOL", (3,), bytes([0, 1, value]))) as file:
        for call in (file.tensor, file.read):
            with pytest.raises(FormatError, match=f"holds the byte {value}"):
                call("x")


# Bit patterns from the formats' definitions: sign, exponent, fraction.
@pytest.mark.parametrize(
    ("code", "data", "values"),
    [
        ("F16", b"\x00\x3c\x00\xc0", [1.0, -2.0]),
        ("BF16", b"\x80\x3f\x00\xc0", [1.0, -2.0]),
        ("F8_E4M3", b"\x38\xc0", [1.0, -2.0]),
        ("F8_E5M2", b"\x3c\xc0", [1.0, -2.0]),
        ("F8_E4M3FNUZ", b"\x40\xc8", [1.0, -2.0]),
        ("F8_E5M2FNUZ", b"\x40\xc4", [1.0, -2.0]),
        ("F8_E8M0", b"\x7f\x80", [1.0, 2.0]),
        ("I16", b"\xff\xff\x00\x01", [-1, 256]),
        ("U64", b"\xff" * 8 + b"\x01" + b"\x00" * 7, [2**64 - 1, 1]),
        ("C64", b"\x00\x00\x80\x3f\x00\x00\x00\xc0" + b"\x00" * 8, [1 - 2j, 0]),
        ("F4", b"\xc2", [1.0, -2.0]),
    ],
)
def test_element_types(tmp_path: Path, code: str, data: bytes, values: list[object]) -> None:
    with TensorFile.open(handmade(tmp_path / "x.kx", code, (2,), data)) as file:
        assert file.tensor("x").tolist() == values
        assert file.read("x").tolist() == values


def test_six_bit_floats_are_refused_on_access_by_name(tmp_path: Path) -> None:
    with TensorFile.open(handmade(tmp_path / "x.kx", "F6_E2M3", (4,), b"\0\0\0")) as file:
        with pytest.raises(FormatError, match="F6_E2M3"):
            file.tensor("x")
        assert len(file.sha256("x")) == 64


def test_packed_tensors_need_the_logical_type(tmp_path: Path) -> None:
    with TensorFile.open(handmade(tmp_path / "x.kx", "U8", (2,), b"\x9f\x07")) as file:
        assert file.tensor("x").dtype == np.uint8
        signed = file.tensor("x", DType.INT4, (3,))
        assert signed.dtype == ml_dtypes.int4
        assert signed.astype(int).tolist() == [-1, -7, 7]
        assert file.tensor("x", DType.UINT4, (3, 1)).astype(int).tolist() == [[15], [9], [7]]
        assert file.tensor("x", DType.UINT2, (6,)).astype(int).tolist() == [3, 3, 1, 2, 3, 1]
        with pytest.raises(FormatError, match=r"stored as U8\[2\], which cannot be int4\[5\]"):
            file.tensor("x", DType.INT4, (5,))
        with pytest.raises(FormatError, match="cannot be float32"):
            file.tensor("x", DType.FLOAT32, (2,))
        with pytest.raises(FormatError, match="unused bits"):
            file.tensor("x", DType.UINT2, (5,))


def test_a_logical_shape_must_be_the_stored_one(path: Path) -> None:
    with TensorFile.open(path) as file:
        assert file.tensor("a", DType.FLOAT32, (3, 4)).shape == (3, 4)
        for shape in ((4, 3), (12,)):
            with pytest.raises(FormatError, match="cannot be"):
                file.tensor("a", DType.FLOAT32, shape)
        with pytest.raises(FormatError, match="cannot be"):
            file.tensor("a", shape=(12,))


def test_a_file_of_the_official_writer_opens_outside_strict_mode(tmp_path: Path) -> None:
    arrays = {"z": np.arange(5, dtype=np.int8), "w": np.ones((3, 3)), "e": np.zeros((0, 2), np.float32)}
    target = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(arrays, target, metadata={"made": "elsewhere"})
    with TensorFile.open(target, strict=False) as file:
        assert file.metadata == {"made": "elsewhere"}
        for name, array in arrays.items():
            np.testing.assert_array_equal(file.tensor(name), array, strict=True)
    with pytest.raises(FormatError, match="without a kx architecture"):
        TensorFile.open(target)


def test_data_off_its_element_alignment_is_copied(tmp_path: Path) -> None:
    header = b'{"x":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}'
    target = tmp_path / "odd.safetensors"
    target.write_bytes(len(header).to_bytes(8, "little") + header + np.array([1.5, -2.0]).tobytes())
    assert (8 + len(header)) % 8
    with TensorFile.open(target, strict=False) as file:
        x = file.tensor("x")
        assert x.tolist() == [1.5, -2.0]
        assert x.flags.aligned


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match="cannot be opened: No such file"):
        TensorFile.open(tmp_path / "none.kx")
    with pytest.raises(FormatError, match="is a folder"):
        TensorFile.open(tmp_path)
    os.mkfifo(tmp_path / "pipe.kx")
    with pytest.raises(FormatError, match="not a regular file"):
        TensorFile.open(tmp_path / "pipe.kx")
    with pytest.raises(FormatError, match="not a regular file"):
        TensorFile.open("/dev/zero")
    with pytest.raises(FormatError, match="null byte"):
        TensorFile.open("a\0b.kx")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)
        server.bind("s.kx")
        with pytest.raises(FormatError, match="cannot be opened"):
            TensorFile.open("s.kx")


def test_a_link_to_a_file_opens(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.kx"
    link.symlink_to(path)
    with TensorFile.open(link) as file:
        assert file.tensor("a").shape == (3, 4)


def test_stored_tensors_go_from_file_to_file(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.kx"
    with TensorFile.open(path) as file:
        stored = {name: file.stored(name) for name in file.names}
        assert stored["a"].dtype is DType.FLOAT32
        write_tensor_file(copy, stored, file.metadata)
    assert copy.read_bytes() == path.read_bytes()
