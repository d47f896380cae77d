"""What was tried so far: one JSON file, and a table of it for readers."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from fuzz.targets import TARGETS

HEAD = """# Fuzzing

Written by `python tests/fuzz/fuzz.py --ledger docs/coverage/fuzz.json` (see [security](../security.md)), which continues
where the ledger stopped; `fuzz.json` has the seeds, the ranges of numbers and the commits. Case N of a target and a seed
is made again by `--target T --seed S --repeat N`. A case is broken if it crashes or hangs (20 s of the processor), takes
300 MB above its size, raises anything but a `KxchangeError`, or, for containers, if kxchange accepts what safetensors
refuses or reads it differently. `caught` counts refusals that no reader thought of: typed all the same.

| target | cases | loaded | refused | caught | broken |
|---|---|---|---|---|---|
"""


@cache
def revision() -> str:
    """The commit that is checked out, or `unknown`."""
    here = Path(__file__).parent
    done = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=here, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


class Ledger:
    """Runs by target; a run that goes on where the last one stopped becomes part of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[str, list[dict[str, Any]]] = json.loads(path.read_text()) if path.exists() else {}

    def stop(self, target: str, seed: int) -> int:
        """The first number of a seed that was not tried."""
        return max((run["stop"] for run in self.runs.get(target, []) if run["seed"] == seed), default=0)

    def add(self, target: str, seed: int, start: int, report: dict[str, Any], commit: str) -> None:
        """Count a report, and write both files."""
        if report["next"] == start:
            return
        runs = self.runs.setdefault(target, [])
        if not runs or (runs[-1]["seed"], runs[-1]["stop"], runs[-1]["commit"]) != (seed, start, commit):
            runs.append({"seed": seed, "start": start, "stop": start, "commit": commit, "tally": {}, "broken": []})
        run = runs[-1]
        run["stop"] = report["next"]
        run["tally"] = dict(sorted((Counter(run["tally"]) + Counter(report["tally"])).items()))
        run["broken"] += [number for number, _ in report["broken"]][: max(20 - len(run["broken"]), 0)]
        self.write()

    def write(self) -> None:
        """Both files: the records and the table."""
        lines = [
            f"{json.dumps(target)}: [\n  " + ",\n  ".join(map(json.dumps, self.runs[target])) + "\n]"
            for target in TARGETS
            if target in self.runs
        ]
        self.path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        self.path.with_suffix(".md").write_text(self.table())

    def table(self) -> str:
        """The page."""
        rows: list[str] = []
        total = Counter[str]()
        for target in TARGETS:
            tally = Counter[str]()
            for run in self.runs.get(target, []):
                for outcome, count in run["tally"].items():
                    tally[_column(outcome)] += count
            if tally:
                rows.append(_row(target, tally))
                total += tally
        return HEAD + "\n".join([*rows, _row("together", total)]) + "\n"


def _column(outcome: str) -> str:
    return {"both": "loaded", "neither": "refused", "stricter": "refused"}.get(outcome, outcome.split()[0])


def _row(name: str, tally: Counter[str]) -> str:
    counts = (sum(tally.values()), *(tally[column] for column in ("loaded", "refused", "caught", "broken")))
    return f"| {name} | " + " | ".join(f"{count:,}" for count in counts) + " |"
