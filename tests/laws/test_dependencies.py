"""Law: every dependency is justified in docs/dependencies.md, and nothing else is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def declared(root: Path) -> dict[str, set[str]]:
    """Package -> the extras that name it (empty for the core)."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {name_of(item): set[str]() for item in project["dependencies"]}
    for extra, items in project["optional-dependencies"].items():
        for item in items:
            if name_of(item) != "kxchange":
                found.setdefault(name_of(item), set()).add(extra)
    return found


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=~! ]", requirement, maxsplit=1)[0].lower()


def justified(text: str) -> dict[str, str]:
    """Package -> its row."""
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    found = {row.split("`")[1].lower(): row for row in rows}
    assert len(found) == len(rows), "a package has two rows"
    return found


def test_the_page_names_exactly_the_dependencies(root: Path) -> None:
    page = (root / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert set(justified(page)) == set(declared(root))


def test_rows_name_their_extra(root: Path) -> None:
    page = (root / "docs" / "dependencies.md").read_text(encoding="utf-8")
    for package, row in justified(page).items():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells[-1]) > 5, f"{package}: no reason"
        if len(cells) == 3:
            assert declared(root)[package] <= set(cells[1].split(", ")), package


def test_a_missing_row_is_found() -> None:
    assert set(justified("| `a` | why |\n| package | why |")) == {"a"}
    assert name_of("tritonclient[http]>=2") == "tritonclient"
