"""Law: the site's table of contents names every page, and only pages that exist."""

from __future__ import annotations

import re
from pathlib import Path

MADE = {"index.md"}  # from the README, by docs/site_home.py


def named(text: str) -> list[str]:
    """The pages of the table of contents, in order; plain text, so that no YAML reader is needed."""
    return re.findall(r"^ +- [^:]+: (\S+\.md)$", text.partition("\nnav:\n")[2], re.MULTILINE)


def test_the_contents_are_the_pages(root: Path) -> None:
    pages = {path.relative_to(root / "docs").as_posix() for path in (root / "docs").rglob("*.md")}
    found = named((root / "mkdocs.yml").read_text(encoding="utf-8"))
    assert len(found) == len(set(found))
    assert set(found) - MADE <= pages
    measured = {page for page in pages if page.startswith("coverage/")}  # a new table may be named later
    assert pages - measured <= set(found)


def test_reference_pages_name_what_exists(root: Path) -> None:
    from importlib import import_module, util

    names = re.findall(r"^::: (\S+)$", (root / "docs/reference/python.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) > 10
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert util.find_spec(module) is not None, name
        assert getattr(import_module(module), attribute).__doc__, name


def test_a_missing_page_is_found() -> None:
    assert named("x: 1\nnav:\n  - Home: index.md\n  - More:\n      - A: a/b.md\n") == ["index.md", "a/b.md"]
