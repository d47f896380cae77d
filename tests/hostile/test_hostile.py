"""Hostile files of every format kx.load reads: refused by a typed error, or harmless, and within limits.

Every file is opened in a process of its own that watches what Python does: it may write nothing, start nothing, reach
for no socket, import nothing that the file names, and take at most 300 MB above the file's size. What takes many times
its 2 seconds of the processor is ended as a hang; the 2 seconds themselves are asked for in the slow run, as another
machine may be slower than any limit.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hostile import (
    container_cases,
    document_cases,
    jax_cases,
    keras_cases,
    onnx_cases,
    other_cases,
    shard_cases,
    tensorflow_cases,
    torch_cases,
)
from hostile.hostile_table import KEEP, REFUSE, Case, Group

GROUPS: dict[str, Callable[[], Group]] = {
    "container": container_cases.cases,
    "document": document_cases.cases,
    "shards": shard_cases.cases,
    "torch": torch_cases.cases,
    "keras": keras_cases.cases,
    "tensorflow": tensorflow_cases.cases,
    "onnx": onnx_cases.cases,
    "other": other_cases.cases,
    "jax": jax_cases.cases,
}
SECONDS = 2.0
MEGABYTES = 300.0
ROWS = 100
PROBE = Path(__file__).with_name("probe.py")


def size_of(path: Path) -> float:
    """Megabytes of a file, or of the files of a folder."""
    files = path.rglob("*") if path.is_dir() else path.parent.iterdir()
    return sum(f.stat().st_size for f in files if f.is_file() and not f.is_symlink()) / 2**20


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def probe(group: Group, paths: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Open every case in one process; a crash or a hang ends it, is charged to its case, and the rest goes on."""
    honest = None
    if group.honest is not None:
        (folder / "honest").mkdir()
        honest = str(group.honest(folder / "honest"))
    pending = [[key, case.action, str(paths[key])] for key, case in keyed(group).items()]
    found: dict[str, Any] = {}
    while pending:
        done = subprocess.run(
            [sys.executable, str(PROBE)],
            input=json.dumps({"honest": honest, "cases": pending}),
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        found |= {line["key"]: line for line in lines if "key" in line}
        begun = [line["begin"] for line in lines if "begin" in line]
        assert begun, f"the probe of {group.name} did not start: {done.stderr[-2000:]}"
        if begun[-1] not in found:
            found[begun[-1]] = {"outcome": "ended the process", "message": f"code {done.returncode}", "seen": []}
        pending = [row for row in pending if row[0] not in found]
    return found


def keyed(group: Group) -> dict[str, Case]:
    found = {f"{case.number} {case.name}": case for case in group.cases}
    assert len(found) == len(group.cases), "two cases of one name"
    return found


def faults(case: Case, row: dict[str, Any], megabytes: float, *, timed: bool) -> list[str]:
    """What a case did that it may not do."""
    wrong: list[str] = []
    allowed = {REFUSE: ("refused",), KEEP: ("loaded",)}.get(case.verdict, ("refused", "loaded"))
    if row["outcome"] not in allowed:
        wrong.append(f"{row['outcome']}: {row['message'][:300]}")
    elif row["outcome"] == "refused" and not re.search(case.match, row["message"]):
        wrong.append(f"refused for another reason than {case.match!r}: {row['message'][:300]}")
    if timed and row.get("seconds", 0.0) > SECONDS:
        wrong.append(f"{row['seconds']:.1f} seconds")
    if row.get("megabytes", 0.0) > megabytes + MEGABYTES:
        wrong.append(f"{row['megabytes']:.0f} MB for a file of {megabytes:.1f} MB")
    return wrong + [f"did {event}" for event in row["seen"]]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("timed", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "timed"])
def test_hostile_files(name: str, timed: bool, tmp_path: Path) -> None:
    group = GROUPS[name]()
    missing = [module for module in group.needs if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    paths: dict[str, Path] = {}
    for number, (key, case) in enumerate(keyed(group).items()):
        folder = tmp_path / f"case{number}"
        folder.mkdir()
        paths[key] = case.make(folder) or folder / "net.kx"
    sizes = {key: size_of(path) for key, path in paths.items()}
    before = listing(tmp_path)
    found = probe(group, paths, tmp_path)
    left = {path for path in listing(tmp_path) - before if not path.startswith("honest")}
    rows = ((key, faults(case, found[key], sizes[key], timed=timed)) for key, case in keyed(group).items())
    wrong = {key: items for key, items in rows if items}
    report = "\n".join(f"{key}: {'; '.join(items)}" for key, items in wrong.items())
    assert not wrong, f"{len(wrong)} of {len(found)} cases of {name}:\n{report}"
    assert not left, f"left behind: {sorted(left)}"


def test_the_probe_sees_what_it_must(tmp_path: Path) -> None:
    """The table means something only if a fault shows."""
    group, path = Group("mischief"), tmp_path / "net.kx"
    path.write_bytes(b"x")
    group.add(0, "all at once", lambda folder: None, action="mischief")
    row = probe(group, {"0 all at once": path}, tmp_path)["0 all at once"]
    found = "; ".join(faults(group.cases[0], row, 0.0, timed=True))
    for fault in (
        "loaded",
        "seconds",
        "MB for",
        "open for writing",
        "subprocess.Popen",
        "socket",
        "import kx_trap",
        "find_class",
    ):
        assert fault in found, fault
    assert (tmp_path / "left").exists()


def test_every_row_of_the_threat_model_has_a_case() -> None:
    numbers = {case.number for make in GROUPS.values() for case in make().cases}
    assert numbers == set(range(1, ROWS + 1))
