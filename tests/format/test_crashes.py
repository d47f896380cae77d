"""A save that is stopped anywhere leaves the old model or the new one, whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("crash_injection.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each step is stopped in a process of its own")
@pytest.mark.parametrize(
    ("target", "options", "steps"),
    [("net.kx", {}, 8), ("net.kx.index.json", {"max_shard_size": 70}, 20)],
    ids=["single", "sharded"],
)
def test_every_step_stopped(tmp_path: Path, target: str, options: dict[str, int], steps: int) -> None:
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(tmp_path), target, json.dumps(options)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert {how: row["faults"] for how, row in report.items() if row["faults"]} == {}
    # It is a test only if there was something to stop.
    assert all(row["steps"] >= steps and row["stopped"] >= row["steps"] - 4 for row in report.values()), report
