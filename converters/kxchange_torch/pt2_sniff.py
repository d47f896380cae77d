"""Recognising a `.pt2` or TorchScript archive by its directory; imports nothing of torch."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

MODEL = re.compile(r"(?:.*/)?models/[^/]+\.json")


def sniff(path: Path, head: bytes) -> str | None:
    """``"pt2"`` if the file is a zip archive with a serialized program, or says that it is one; ``"torchscript"``."""
    if not head.startswith(b"PK\x03\x04"):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    members = {name.partition("/")[2] for name in names}
    if {"data.pkl", "constants.pkl"} <= members:
        return "torchscript"
    marked = any(name.rpartition("/")[2] == "archive_format" for name in names)
    return "pt2" if marked or any(map(MODEL.fullmatch, names)) else None
