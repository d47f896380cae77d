"""Weights as a NumPy archive."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np

from kxchange.errors import WriteError
from kxchange.format.atomic import atomic_writer
from kxchange.model import Array, Model

DTYPES_ENTRY = "kx.dtypes"
"""Entry with the element types (as JSON) of arrays that NumPy itself cannot name."""
EPOCH = (1980, 1, 1, 0, 0, 0)


def save(model: Model, path: Path) -> list[Path]:
    """Write every parameter to an `.npz` under its own name; ``numpy.load`` opens it without kxchange.

    Element types that NumPy lacks (bfloat16, float8 ...) are written as unsigned integers of the same width, and
    named in the entry ``kx.dtypes``: ``{"layer.weight": "bfloat16"}``. Tied names are written once each. Equal models
    give equal bytes.

    Raises:
        WriteError: the file cannot be written, or a name would leave the archive's folder when unpacked.
    """
    foreign: dict[str, str] = {}
    with atomic_writer(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, entry in model.parameters.items():
            array = np.asarray(model.array(name))
            if array.dtype.isbuiltin != 1:
                foreign[name] = entry.type.dtype.value
                array = np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")
            _write(archive, name, array)
        if foreign:
            _write(archive, DTYPES_ENTRY, np.array(json.dumps(foreign, sort_keys=True)))
    return [path]


def _write(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    member = PurePosixPath(name)
    if not name or member.is_absolute() or ".." in member.parts or not name.isprintable():
        raise WriteError(f".npz cannot hold a parameter called {name!r}: as a file name it would be unsafe. Rename it.")
    record = zipfile.ZipInfo(f"{name}.npy", EPOCH)
    with archive.open(record, "w", force_zip64=True) as member_stream:
        np.lib.format.write_array(member_stream, np.asanyarray(array), allow_pickle=False)
