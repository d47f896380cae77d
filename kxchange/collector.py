"""Python's cyclic garbage collector, told to look less often while a graph is made."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

OFTEN = 100_000
"""Objects made between two collections: a graph is many objects without a cycle, and collecting walks them all."""


@contextmanager
def rare_collection() -> Generator[None]:
    """Collect rarely inside the block: loading a large model makes many objects, and hardly one of them is garbage."""
    before = gc.get_threshold()
    if not 0 < before[0] < OFTEN:
        yield  # switched off, or rare already
        return
    gc.set_threshold(OFTEN, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
