"""What a benchmark finds: one row each, ours beside the peer or the physical limit of the same run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RUNS = 5
# Memory above what there was when the work began; the peak is forgotten first.
HEAD = """
import json, os, sys, time, warnings
warnings.simplefilter("ignore")
def _status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))
"""
START = """
open("/proc/self/clear_refs", "w").write("5")
_before, _start = _status("VmRSS"), time.perf_counter()
"""
STOP = """
_seconds = time.perf_counter() - _start
print("MEASURED", json.dumps({"s": _seconds, "MB": (_status("VmHWM") - _before) / 1024}))
"""


@dataclass(frozen=True)
class Row:
    """One measured case; lower is better."""

    case: str
    peer: str
    """What it stands beside."""
    ours: float
    theirs: float
    unit: str = "s"
    target: float | None = None
    """The ratio that is aimed at."""

    @property
    def ratio(self) -> float:
        """Ours over theirs."""
        return self.ours / self.theirs if self.theirs else 1.0 if not self.ours else float("inf")


class PeerError(Exception):
    """A peer is not installed, or cannot do the case."""


def alternate(ours: Callable[[], Any], theirs: Callable[[], Any], runs: int = RUNS) -> tuple[float, float]:
    """Median seconds of both, run in turn, so that what else the machine does hits both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for action, found in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            action()
            found.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def fresh(setup: str, work: str, *arguments: str, python: str = sys.executable) -> dict[str, float]:
    """Run `work` in a process of its own, after `setup`.

    Returns:
        Its seconds (`s`) and the memory it took above what `setup` left (`MB`).

    Raises:
        PeerError: It failed; the message is the last line of its error.
    """
    code = "\n".join((HEAD, setup, START, work, STOP))
    done = subprocess.run([python, "-c", code, *arguments], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("MEASURED ")]
    if not lines:
        raise PeerError((done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1][:200])
    return json.loads(lines[-1].removeprefix("MEASURED "))
