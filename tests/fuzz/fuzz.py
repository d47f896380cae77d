"""The fuzzer: `python tests/fuzz/fuzz.py --seconds 600 [--target onnx]`; every case can be made again from its number.

A case that breaks a promise is written to `tests/fuzz/found/<target>/` and replayed by the tests from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz.targets import TARGETS, Files  # noqa: E402

FOUND = Path(__file__).with_name("found")
HANG_SECONDS = 20
MEGABYTES = 300


class Hang(BaseException):
    """A case took too long."""


def _alarm(number: int, frame: object) -> None:
    raise Hang(f"more than {HANG_SECONDS} seconds of the processor")


def case(target: str, seed: int, number: int, seeds: list[Files]) -> Files:
    """The input of one number."""
    rng = random.Random(f"{target}/{seed}/{number}")
    files = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2))):
        files = TARGETS[target].change(files, rng)
    return files


def try_one(target: str, files: Files, folder: Path) -> tuple[str, str]:
    """What happened (`refused`, `loaded`, ...), or `broken` and how."""
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    before = _resident()
    signal.signal(signal.SIGPROF, _alarm)
    signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
    try:
        outcome = TARGETS[target].check(files, folder)
    except (Exception, Hang, RecursionError, MemoryError) as error:
        lines = traceback.format_exception(error)
        return "broken", "".join(lines[-6:])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    grown = _resident() - before - sum(map(len, files.values())) / 2**20
    return (outcome, "") if grown < MEGABYTES else ("broken", f"took {grown:.0f} MB")


def _resident() -> float:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
    except OSError:
        return 0.0


def keep(target: str, files: Files) -> Path:
    """Store a broken case."""
    digest = hashlib.sha256(b"".join(files.values())).hexdigest()[:12]
    folder = FOUND / target.replace(" ", "_") / digest
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "order.json").write_text(json.dumps(list(files)))
    return folder


def run(
    target: str, *, cases: int | None = None, seconds: float | None = None, seed: int = 0, start: int = 0
) -> Counter[str]:
    """Fuzz one target for a number of cases or a time; broken cases are kept, one for each place in the code."""
    seeds, tally, places = TARGETS[target].seeds(), Counter[str](), set[str]()
    deadline = None if seconds is None else time.monotonic() + seconds
    number = start
    with tempfile.TemporaryDirectory() as folder:
        while (cases is None or number < start + cases) and (deadline is None or time.monotonic() < deadline):
            files = case(target, seed, number, seeds)
            outcome, how = try_one(target, files, Path(folder))
            tally[outcome] += 1
            place = "".join(line for line in how.splitlines(True) if line.startswith("  File"))[-400:] or how[:60]
            if outcome == "broken" and place not in places:
                places.add(place)
                print(f"{target} seed {seed} number {number}: {keep(target, files)}\n{how}", flush=True)
            number += 1
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="time for each target")
    parser.add_argument("--cases", type=int, help="number of cases for each target, instead of a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--target", action="append", choices=list(TARGETS))
    options = parser.parse_args()
    broken = 0
    for target in options.target or TARGETS:
        seconds = None if options.cases else options.seconds
        began = time.monotonic()
        tally = run(target, cases=options.cases, seconds=seconds, seed=options.seed, start=options.start)
        broken += tally["broken"]
        print(f"{target}: {sum(tally.values()):,} cases in {time.monotonic() - began:.0f} s: {dict(tally)}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
