"""Names for sizes that only the data decides: ``nonzero_0``, ``nonzero_1``, ``unique_0``, counted per conversion."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager


class _Numbering(threading.local):
    def __init__(self) -> None:
        self.next: dict[str, int] = {}
        self.taken: frozenset[str] = frozenset()


_NUMBERING = _Numbering()


def fresh_symbol(prefix: str) -> str:
    """The next name ``prefix_<number>`` that the current numbering has not given and that is not taken."""
    while True:
        number = _NUMBERING.next.get(prefix, 0)
        _NUMBERING.next[prefix] = number + 1
        name = f"{prefix}_{number}"
        if name not in _NUMBERING.taken:
            return name


@contextmanager
def numbering(taken: Iterable[str] = ()) -> Generator[None]:
    """Count from 0 inside the block, so that one source lifted twice gets the same names.

    A lift wraps the emission of one whole model in it: names are unique within the block only.

    Args:
        taken: Names that are in use already: the dims of the model's inputs.
    """
    before = _NUMBERING.next, _NUMBERING.taken
    _NUMBERING.next, _NUMBERING.taken = {}, frozenset(taken)
    try:
        yield
    finally:
        _NUMBERING.next, _NUMBERING.taken = before
