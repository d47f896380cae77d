"""What a bare interpreter takes, the import, and the help: all in fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.rows import Row

TITLE = "Start-up"
ABOUT = "Wall time of a fresh process, beside the same interpreter that does nothing. Aims: 120 and 150 ms."
RUNS = 11


def _median(*arguments: str) -> float:
    times: list[float] = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def rows() -> Iterator[Row]:
    """Import and help."""
    bare = _median("-c", "pass")
    for case, arguments, aim in (
        ("import kxchange", ("-c", "import kxchange"), 120.0),
        ("kx --help", ("-m", "kxchange", "--help"), 150.0),
    ):
        yield Row(case, "python -c pass", _median(*arguments), bare, "ms", aim / bare)
