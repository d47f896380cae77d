"""Law: a file is called by what it holds, and nothing in the repository knows the machine it was written on."""

from __future__ import annotations

import re
from pathlib import Path

VAGUE = {"utils.py", "util.py", "common.py", "base.py", "helpers.py", "helper.py", "misc.py"}

# Put together here, so that this file does not break the law it states.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:" + "|".join(["tmp", "root", "home", "work"]) + r")/\w")

# path -> why it may name such a folder.
EXEMPT: dict[str, str] = {}


def machine_paths(text: str) -> list[int]:
    """The numbers of the lines that name a folder of one machine."""
    return [number for number, line in enumerate(text.splitlines(), 1) if MACHINE_PATH.search(line)]


def test_no_vague_file_names(files: list[str]) -> None:
    assert not [name for name in files if Path(name).name in VAGUE]


def test_no_machine_paths(root: Path, files: list[str]) -> None:
    found: list[str] = []
    for name in files:
        data = (root / name).read_bytes()
        if name not in EXEMPT and b"\0" not in data:
            found += [f"{name}:{line}" for line in machine_paths(data.decode("utf-8", "replace"))]
    assert not found


def test_a_machine_path_is_found() -> None:
    folders = ("tmp", "root", "home")
    assert machine_paths("\n".join(f"/{folder}/x" for folder in folders)) == [1, 2, 3]
    assert machine_paths("\n".join(f"https://example.org/{folder}/x and src/{folder}/x" for folder in folders)) == []
