"""Texts in HDF5 attributes, read by kxchange itself: as h5py reads them, and refused where libhdf5 ends or hangs."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from kxchange.errors import FormatError  # noqa: E402
from kxchange_keras.hdf5 import names_attribute, open_hdf5, text_attribute  # noqa: E402

VALUES: dict[str, Any] = {
    "one": "h\u00e9llo",
    "fixed": np.bytes_(b"abc"),
    "many": ["a", "bb", "", "long" * 99],
    "bytes": np.array([b"x", b"yyy"]),
    "long": "z" * 60_000,
}


def written(path: Path, version: Any = "earliest") -> Path:
    with h5py.File(path, "w", libver=version) as file:
        group = file.create_group("group")
        for name, value in VALUES.items():
            group.attrs[name] = value
        group.attrs["empty"], group.attrs["number"] = [], 3
    return path


@pytest.mark.parametrize("version", ["earliest", "latest", ("v110", "v110")], ids=str)
def test_texts_are_those_that_h5py_reads(version: Any, tmp_path: Path) -> None:
    with open_hdf5(written(tmp_path / "net.h5", version), "net.h5") as root:
        group = root["group"]
        for name, value in VALUES.items():
            expected = group.attrs[name]
            if isinstance(value, str | bytes):
                assert text_attribute(group, name) == (expected.decode() if isinstance(expected, bytes) else expected)
            else:
                texts = [item.decode() if isinstance(item, bytes) else item for item in expected]
                assert names_attribute(group, name) == texts
        assert names_attribute(group, "empty") == []
        assert text_attribute(group, "other") is names_attribute(group, "other") is None
        for name in ("number", "many"):
            with pytest.raises(FormatError, match="no text"):
                text_attribute(group, name)


def test_many_attributes_of_the_newer_form_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "net.h5", "w", libver="latest") as file:
        for number in range(20):
            file.attrs[f"a{number}"] = "x"
    with open_hdf5(tmp_path / "net.h5", "net.h5") as root, pytest.raises(FormatError, match="table apart"):
        text_attribute(root, "a3")


def object_of(data: bytes, text: bytes) -> int:
    """Where the object of a heap begins that holds a text."""
    return data.index(text, data.index(b"GCOL")) - 16


def length_of(data: bytes, text: bytes) -> int:
    """Where an attribute says how long a text is that stands in the heap."""
    heap, start = data.index(b"GCOL"), object_of(data, text)
    number = data[start : start + 2]
    return data.index(struct.pack("<Q", heap) + number + b"\0\0") - 4


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (length_of, b"\xff" * 4),
        (lambda data, text: length_of(data, text) + 4, b"\0\0\0\x80"),
        (lambda data, text: length_of(data, text) + 12, b"\0\1\0\0"),
        (lambda data, text: data.index(b"GCOL") + 16, b"\0\0"),
        (lambda data, text: data.index(b"GCOL") + 24, b"\xff" * 8),
        (lambda data, text: data.index(b"GCOL") + 8, b"\xff" * 8),
    ],
    ids=["length", "address", "number", "free space", "size of the object before", "size of the heap"],
)
def test_damaged_heaps_are_refused(place: Callable[[bytes, bytes], int], value: bytes, tmp_path: Path) -> None:
    text = b"".join([b"h", b"\xc3\xa9", b"llo"])
    data = written(tmp_path / "net.h5").read_bytes()
    with open_hdf5(data, "net.h5") as root:
        assert text_attribute(root["group"], "one") == text.decode()
    start = place(data, text)
    damaged = data[:start] + value + data[start + len(value) :]
    with open_hdf5(damaged, "net.h5") as root, pytest.raises(FormatError):
        text_attribute(root["group"], "many" if start == data.index(b"GCOL") + 24 else "one")
        names_attribute(root["group"], "many")


def test_other_widths_and_other_starts_are_refused(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path / "net.h5").read_bytes())
    data[13] = 4
    for damaged, words in (
        (bytes(data), "8 bytes wide"),
        (b"", "other bytes"),
        (bytes(512) + bytes(data), "other bytes"),
    ):
        with pytest.raises(FormatError, match=words), open_hdf5(damaged, "net.h5"):
            pass
