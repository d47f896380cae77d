"""A guard against work out of proportion to its input, which the speed of the machine does not decide."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

MANY_TIMES = 60.0
"""Seconds of the processor: what is guarded takes at most one, and minutes or hours where it is quadratic."""


@contextmanager
def bounded(seconds: float = MANY_TIMES) -> Generator[None]:
    """Fail where the block takes more of the processor than any machine would need for sound work."""
    start = time.process_time()
    yield
    taken = time.process_time() - start
    assert taken < seconds, f"{taken:.0f} seconds of the processor"
