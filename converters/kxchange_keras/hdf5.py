"""HDF5 files read without following anything that leaves the file or pretends to be larger than it is."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kxchange.errors import FormatError, LimitError
from kxchange.model import Array
from kxchange_keras.hdf5_heaps import check_hdf5

MAX_EXPANSION = 1000
"""How many times its stored bytes an array may hold ..."""
EXPANSION_FLOOR = 2**26
"""... once it is larger than this."""
MAX_DEPTH = 64
DATASET_KINDS = "biufV"
"""NumPy kinds of arrays that are weights."""


@contextmanager
def open_hdf5(source: Path | bytes, label: str) -> Iterator[h5py.Group]:
    """The root group of a file, or of the bytes of one.

    Raises:
        FormatError: It cannot be read.
    """
    check_hdf5(source, label)
    try:
        file = h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r")
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise FormatError(f"{label} cannot be read as HDF5: {error}. Download or save it again.") from None
    try:
        yield file
    finally:
        file.close()


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
    if array.dtype.kind == "V" and dataset.attrs.get("dtype") == "bfloat16":  # Keras's own way to store it
        import ml_dtypes

        return array.view(ml_dtypes.bfloat16).reshape(dataset.shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def attribute(group: h5py.Group, name: str) -> Any:
    """An attribute's value; None where there is none."""
    return _guarded(group, name, lambda: group.attrs.get(name))


def text_attribute(group: h5py.Group, name: str) -> str | None:
    """An attribute as text; None where there is none.

    Raises:
        FormatError: It is something else.
    """
    value = attribute(group, name)
    if value is None:
        return None
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, str):
        return str(value)
    raise FormatError(f"HDF5: the attribute {name!r} of {group.name} is no text.")


def names_attribute(group: h5py.Group, name: str) -> list[str] | None:
    """A list of names; Keras cuts one over 64 KiB into ``name0``, ``name1`` ... (trap S06)."""
    value = attribute(group, name)
    if value is not None:
        return [_text(item) for item in np.ravel(value)]
    chunks: list[str] = []
    number = 0
    while (part := attribute(group, f"{name}{number}")) is not None:
        chunks += [_text(item) for item in np.ravel(part)]
        number += 1
    return chunks if number else None


def _text(item: Any) -> str:
    return item.decode("utf-8") if isinstance(item, bytes) else str(item)


def _guarded(holder: h5py.HLObject, name: str, read: Any) -> Any:
    try:
        return read()
    except KeyError:
        return None
    except (OSError, ValueError, RuntimeError, TypeError, MemoryError) as error:
        raise FormatError(f"HDF5: {_where(holder, name)} cannot be read: {error}.") from None


def _where(holder: h5py.HLObject, name: str) -> str:
    return f"{str(holder.name or '').rstrip('/')}/{name}"
