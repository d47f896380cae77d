"""The fuzzer: `python tests/fuzz/fuzz.py --seconds 600 [--target onnx] [--ledger docs/coverage/fuzz.json]`.

Every case can be made again from its target, seed and number. Cases run in a process of their own, so that one that
crashes or hangs below Python, in a library that reads the file, is found and named, and the rest goes on. With a ledger
each target continues where the ledger says that it stopped. A case that breaks a promise is written to
`tests/fuzz/found/<target>/` and replayed by the tests from then on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz.cases import Trial, keep, make  # noqa: E402
from fuzz.ledger import Ledger, revision  # noqa: E402
from fuzz.targets import TARGETS  # noqa: E402

WORKER = Path(__file__).with_name("worker.py")
ENDED = "ended the process"


def tries(target: str, seed: int, start: int, cases: int | None, seconds: float | None) -> Iterator[dict[str, Any]]:
    """Reports of workers: `{"next", "tally", "broken"}`; a worker that died is followed by another, one case further."""
    deadline = None if seconds is None else time.monotonic() + seconds
    stop = None if cases is None else start + cases
    while (stop is None or start < stop) and (deadline is None or time.monotonic() < deadline):
        # A file for what libraries say: a pipe that nobody reads would stop them.
        with tempfile.NamedTemporaryFile() as mark, tempfile.TemporaryFile() as said:
            order = {"target": target, "seed": seed, "start": start, "stop": stop, "mark": mark.name}
            order["seconds"] = None if deadline is None else deadline - time.monotonic()
            done, begun = start, False
            with subprocess.Popen(
                [sys.executable, str(WORKER), json.dumps(order)], stdout=subprocess.PIPE, stderr=said
            ) as worker:
                assert worker.stdout is not None
                for line in worker.stdout:
                    report = json.loads(line)
                    begun, done = True, report["next"]
                    yield report
            said.seek(max(said.seek(0, 2) - 3000, 0))
            trace = said.read().decode("utf-8", "replace")
            if worker.returncode == 0:
                start = done
                continue
            assert begun, f"the worker for {target} did not start:\n{trace}"
            # What it did since its last report is known to have been harmless, but not how each of it ended.
            number = int(mark.read() or b"0")
            tally = Counter({"not told": number - done, "broken": 1})
            how = f"{ENDED} with code {worker.returncode}\n{trace}"
            yield {"next": number + 1, "tally": tally, "broken": [[number, how]]}
            start = number + 1


def campaign(target: str, options: argparse.Namespace, ledger: Ledger | None) -> Counter[str]:
    """One target; what was found is kept, one case for each place in the code."""
    start = options.start if ledger is None or options.start else ledger.stop(target, options.seed)
    tally, places, seeds = Counter[str](), set[str](), None
    for report in tries(target, options.seed, start, options.cases, options.seconds):
        tally.update(report["tally"])
        for number, how in report["broken"]:
            place = "".join(line for line in how.splitlines(True) if line.startswith("  File"))[-400:] or how[:60]
            if place in places:
                continue
            places.add(place)
            seeds = seeds or TARGETS[target].seeds()
            folder = keep(target, make(target, options.seed, number, seeds))
            print(f"{target} seed {options.seed} number {number}: {folder}\n{how}", flush=True)
        if ledger is not None:
            ledger.add(target, options.seed, start, report, revision())
        start = report["next"]
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="time for each target")
    parser.add_argument("--cases", type=int, help="number of cases for each target, instead of a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--target", action="append", choices=list(TARGETS))
    parser.add_argument(
        "--ledger", type=Path, help="JSON file that counts what was tried; a table is written beside it"
    )
    parser.add_argument("--repeat", metavar="NUMBER", type=int, help="one case of --target, in this process")
    options = parser.parse_args()
    if options.repeat is not None:
        return repeat(options.target[0], options.seed, options.repeat)
    ledger = None if options.ledger is None else Ledger(options.ledger)
    if options.cases:
        options.seconds = None
    broken = 0
    for target in options.target or TARGETS:
        began = time.monotonic()
        tally = campaign(target, options, ledger)
        broken += tally["broken"]
        print(f"{target}: {sum(tally.values()):,} cases in {time.monotonic() - began:.0f} s: {dict(tally)}", flush=True)
    return 1 if broken else 0


def repeat(target: str, seed: int, number: int) -> int:
    """Run one case here and say what happened."""
    with Trial(target) as trial:
        outcome, how = trial.run(make(target, seed, number, TARGETS[target].seeds()))
    print(f"{target} seed {seed} number {number}: {outcome}\n{how}")
    return 1 if outcome == "broken" else 0


if __name__ == "__main__":
    sys.exit(main())
