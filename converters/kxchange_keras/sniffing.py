"""Recognising Keras files by content, without reading more than their directories."""

from __future__ import annotations

import zipfile
from pathlib import Path

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
ZIP_MAGIC = b"PK\x03\x04"


def sniff(path: Path, head: bytes) -> str | None:
    """``keras`` for a zip with a config and weights, ``keras-h5`` for an HDF5 file with Keras's attributes."""
    if head.startswith(HDF5_MAGIC):
        return "keras-h5" if _names_keras(path) else None
    if not head.startswith(ZIP_MAGIC):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return None
    return "keras" if "config.json" in names and any(name.startswith("model.weights.") for name in names) else None


def _names_keras(path: Path) -> bool:
    """Whether the root has an attribute that Keras writes; HDF5 keeps their names as plain text."""
    if path.suffix in (".h5", ".hdf5", ".keras"):
        return True
    with path.open("rb") as stream:
        start = stream.read(2**20)
    return b"keras_version" in start or b"model_config" in start or b"layer_names" in start
