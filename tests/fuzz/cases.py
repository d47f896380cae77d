"""One case: made from its number, tried within its limits of time and memory, and kept if it broke a promise."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from types import TracebackType

from fuzz.targets import TARGETS, Files

FOUND = Path(__file__).with_name("found")
MEGABYTES = 300
IN_MEMORY = Path("/dev/shm")
"""Where there is one, files made for a case never reach a disk."""


def make(target: str, seed: int, number: int, seeds: list[Files]) -> Files:
    """The input of one number."""
    rng = random.Random(f"{target}/{seed}/{number}")
    files = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2))):
        files = TARGETS[target].change(files, rng)
    return files


class Trial:
    """A place where cases are tried one after the other; use as a context."""

    def __init__(self, target: str) -> None:
        self.target = TARGETS[target]
        self._holder = tempfile.TemporaryDirectory(dir=IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None)
        self.folder = Path(self._holder.name)
        self._memory = os.open("/proc/self/statm", os.O_RDONLY) if sys.platform == "linux" else -1

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._holder.cleanup()
        if self._memory >= 0:
            os.close(self._memory)

    def run(self, files: Files) -> tuple[str, str]:
        """What happened (`refused`, `loaded`, ...), or `broken` and how."""
        with os.scandir(self.folder) as entries:
            for entry in entries:
                shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
        before, peak = self._resident(), _peak()
        try:
            outcome = self.target.check(files, self.folder)
        except (Exception, RecursionError, MemoryError) as error:
            return "broken", "".join(traceback.format_exception(error)[-6:])
        allowed = MEGABYTES + sum(map(len, files.values())) / 2**20
        # A new peak is this case's, even if it gave the memory back.
        taken = max(self._resident(), _peak() if _peak() > peak else 0.0) - before
        return (outcome, "") if taken < allowed else ("broken", f"took {taken:.0f} MB")

    def _resident(self) -> float:
        if self._memory < 0:
            return 0.0
        return int(os.pread(self._memory, 100, 0).split()[1]) * resource.getpagesize() / 2**20


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 if sys.platform == "linux" else 0.0


def keep(target: str, files: Files) -> Path:
    """Store a broken case."""
    digest = hashlib.sha256(b"".join(files.values())).hexdigest()[:12]
    folder = FOUND / target.replace(" ", "_") / digest
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "order.json").write_text(json.dumps(list(files)))
    return folder


def share(target: str, cases: int, seed: int) -> tuple[Counter[str], list[tuple[int, str]]]:
    """The first cases of a seed, in this process: how they ended, and the broken ones."""
    seeds, tally, broken = TARGETS[target].seeds(), Counter[str](), list[tuple[int, str]]()
    with Trial(target) as trial:
        for number in range(cases):
            outcome, how = trial.run(make(target, seed, number, seeds))
            tally[outcome] += 1
            if outcome == "broken":
                broken.append((number, how))
    return tally, broken
