"""Saving beside a plain copy of the same bytes to the same disk, with fsync on both sides."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import kxchange as kx
from benchmarks.opening import layers
from benchmarks.rows import Row, alternate

TITLE = "Save"
ABOUT = (
    "A `.kx` written from weights that lie in another file, beside `shutil.copyfile` and `fsync` of the same bytes on "
    "the same disk. Saving also hashes every weight."
)


def rows() -> Iterator[Row]:
    """64 MB and 1 GiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, megabytes, runs in (("64 MB", 64, 7), ("1 GiB", 1024, 3)):
            source, ours, copy = folder / "source.kx", folder / "ours.kx", folder / "copy"
            kx.save(layers(megabytes), source)
            model = kx.load(source)

            def plain(source: Path = source, copy: Path = copy) -> None:
                shutil.copyfile(source, copy)
                with copy.open("rb") as file:
                    os.fsync(file.fileno())

            took = alternate(lambda model=model, ours=ours: kx.save(model, ours), plain, runs)
            yield Row(size, "copy and fsync", *took, "s", 1.3)
