"""A short, fixed share of the fuzzing of every reader, and every case that was ever found."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from fuzz.cases import FOUND, Trial, share
from fuzz.targets import TARGETS

CASES = {"container": 4000, "header": 2000, "pt2": 40, "document": 250, "index": 250}
DEFAULT = 150


def needed(target: str) -> None:
    missing = [module for module in TARGETS[target].needs if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.mark.parametrize("target", TARGETS)
def test_a_share_of_the_cases(target: str) -> None:
    needed(target)
    tally, broken = share(target, CASES.get(target, DEFAULT), seed=1)
    assert not broken
    # It tests the readers only if not everything is refused at the door, and something is.
    kinds = {"both", "neither", "stricter"} if target == "container" else {"loaded", "refused"}
    assert {kind for kind in tally if not kind.startswith("caught")} == kinds


@pytest.mark.parametrize("order", sorted(FOUND.rglob("order.json")), ids=lambda path: path.parent.name)
def test_cases_found_before(order: Path) -> None:
    target = order.parent.parent.name.replace("_", " ")
    needed(target)
    files = {name: (order.parent / name).read_bytes() for name in json.loads(order.read_text())}
    with Trial(target) as trial:
        outcome, how = trial.run(files)
    assert outcome != "broken", how
