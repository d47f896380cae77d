"""HDF5 files read without following anything that leaves the file or pretends to be larger than it is."""

from __future__ import annotations

import io
import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kxchange.errors import FormatError, LimitError
from kxchange.model import Array
from kxchange_keras.hdf5_attributes import Data, Texts, check_start, read_texts

MAX_EXPANSION = 1000
"""How many times its stored bytes an array may hold ..."""
EXPANSION_FLOOR = 2**26
"""... once it is larger than this."""
MAX_DEPTH = 64
_OPEN: dict[int, Data] = {}
"""Bytes of the files that are open, by HDF5's number of each."""
DATASET_KINDS = "biufV"
"""NumPy kinds of arrays that are weights."""


@contextmanager
def open_hdf5(source: Path | bytes, label: str) -> Iterator[h5py.Group]:
    """The root group of a file, or of the bytes of one.

    Raises:
        FormatError: It cannot be read.
    """
    with _mapped(source) as data:
        check_start(data, label)
        try:
            file = h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r")
            number = _info(file).fileno
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise FormatError(f"{label} cannot be read as HDF5: {error}. Download or save it again.") from None
        _OPEN[number] = data
        try:
            yield file
        finally:
            del _OPEN[number]
            file.close()


@contextmanager
def _mapped(source: Path | bytes) -> Iterator[Data]:
    if isinstance(source, bytes) or not source.stat().st_size:
        yield source if isinstance(source, bytes) else b""
        return
    with source.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def member(parent: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """The direct member `name` of a group; None where there is none.

    Raises:
        FormatError: It is a soft or external link, or something damaged.
    """
    link = _guarded(parent, name, lambda: parent.get(name, getlink=True))
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise FormatError(f"HDF5: {_where(parent, name)} is a {type(link).__name__}, which could point anywhere.")
    return _guarded(parent, name, lambda: parent[name])


def descend(parent: h5py.Group, path: str) -> h5py.Group | h5py.Dataset | None:
    """The member at ``a/b/c``, each step as `member` takes it."""
    found: Any = parent
    parts = [part for part in path.split("/") if part]
    if len(parts) > MAX_DEPTH:
        raise LimitError(f"HDF5: {path[:80]!r} is nested more than {MAX_DEPTH} levels.")
    for part in parts:
        if not isinstance(found, h5py.Group):
            return None
        found = member(found, part)
    return found


def subgroup(parent: h5py.Group, path: str) -> h5py.Group | None:
    """The group at `path`; None where there is none, or a dataset."""
    found = descend(parent, path)
    return found if isinstance(found, h5py.Group) else None


def read_array(dataset: h5py.Group | h5py.Dataset | None, where: str) -> Array:
    """The values of a dataset.

    Raises:
        FormatError: It is missing, no dataset of numbers, or its data stands in another file.
        LimitError: It declares far more than it stores.
    """
    if not isinstance(dataset, h5py.Dataset):
        raise FormatError(f"HDF5: there is no array at {where}.")
    if dataset.external or dataset.is_virtual:
        raise FormatError(f"HDF5: the array {where} takes its data from other files.")
    if dataset.shape is None or dataset.dtype.kind not in DATASET_KINDS or dataset.dtype.names:
        raise FormatError(f"HDF5: {where} holds {dataset.dtype}, not numbers.")
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if declared > EXPANSION_FLOOR and declared > MAX_EXPANSION * stored:
        raise LimitError(f"HDF5: {where} declares {declared:,} bytes and stores {stored:,}.")
    return _native(_guarded(dataset, where, lambda: dataset[()]), dataset)


def _native(values: Any, dataset: h5py.Dataset) -> Array:
    array = np.asarray(values)
    if array.dtype.kind == "V" and text_attribute(dataset, "dtype") == "bfloat16":  # Keras's own way to store it
        import ml_dtypes

        return array.view(ml_dtypes.bfloat16).reshape(dataset.shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def text_attribute(group: h5py.Group | h5py.Dataset, name: str) -> str | None:
    """An attribute as text; None where there is none.

    Raises:
        FormatError: It is something else.
    """
    found = _texts(group, name)
    if found is None:
        return None
    if not found.alone:
        raise FormatError(f"HDF5: the attribute {name!r} of {group.name} is no text.")
    return _decoded(found.items[0], name)


def names_attribute(group: h5py.Group, name: str) -> list[str] | None:
    """A list of names; Keras cuts one over 64 KiB into ``name0``, ``name1`` ... (trap S06)."""
    found = _texts(group, name)
    if found is not None:
        return [_decoded(item, name) for item in found.items]
    chunks: list[str] = []
    number = 0
    while (found := _texts(group, f"{name}{number}")) is not None:
        chunks += [_decoded(item, name) for item in found.items]
        number += 1
    return chunks if number else None


def _texts(group: h5py.Group | h5py.Dataset, name: str) -> Texts | None:
    info = _guarded(group, name, lambda: _info(group))
    return None if info is None else read_texts(_OPEN[info.fileno], info.addr, name)


def _info(holder: h5py.HLObject) -> Any:
    """The number of an object's file, and where its header begins."""
    return h5py.h5o.get_info(holder.id)  # pyright: ignore[reportAttributeAccessIssue] - compiled, without types


def _decoded(item: bytes, name: str) -> str:
    try:
        return item.decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError(f"HDF5: the attribute {name!r} is no text.") from None


def _guarded(holder: h5py.HLObject, name: str, read: Any) -> Any:
    try:
        return read()
    except KeyError:
        return None
    except (OSError, ValueError, RuntimeError, TypeError, MemoryError) as error:
        raise FormatError(f"HDF5: {_where(holder, name)} cannot be read: {error}.") from None


def _where(holder: h5py.HLObject, name: str) -> str:
    return f"{str(holder.name or '').rstrip('/')}/{name}"
