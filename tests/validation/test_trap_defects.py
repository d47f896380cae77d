"""Every fault of the catalogue is found, and the node named; the page in the docs says what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from validation import defects

PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "defects.md"


@pytest.fixture(scope="module")
def page():
    return defects.table()


def test_every_fault_is_found_and_its_node_named(page):
    rows = [line.split(" | ") for line in page.splitlines() if " | WRONG | " in line or " | SAME | " in line]
    assert len(rows) == len(defects.DEFECTS) >= 40
    assert [row[0] for row in rows if row[-2] != "WRONG"] == []
    unnamed = [row[0] for row in rows if row[-1] != "named |"]
    assert len(unnamed) <= 0.05 * len(rows), unnamed


def test_a_network_without_its_fault_is_the_same():
    from kxchange.validation.against import validate_against

    for name in list(defects.DEFECTS)[::5]:
        right = defects.network(name, faulty=False)
        assert validate_against(right, defects.network(name, faulty=False), cases=2).ok, name


def test_the_page_is_current(page):
    assert PAGE.read_text(encoding="utf-8") == page, (
        "cd tests && python -m validation.defects > ../docs/coverage/defects.md"
    )
