"""Every fault of the catalogue is found, and the node named; the page in the docs says what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from validation import defects, held_out, held_out_second

DOCS = Path(__file__).parents[2] / "docs" / "coverage"
PAGE = DOCS / "defects.md"


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


@pytest.fixture(scope="module")
def later():
    return held_out.page()


def test_every_held_out_fault_is_found_and_its_node_named(later):
    rows = [
        line.split(" | ") for line in later.splitlines() if line.startswith("| ") and not line.startswith("| defect")
    ]
    assert len(rows) == len(held_out.HELD_OUT) + len(held_out_second.SECOND) >= 65
    assert [row[0] for row in rows if row[-2] != "WRONG"] == []
    assert [row[0] for row in rows if row[-1] not in ("named |", "named there |")] == []


def test_the_page_of_held_out_faults_is_current(later):
    assert (DOCS / "held_out_defects.md").read_text(encoding="utf-8") == later, (
        "cd tests && python -m validation.held_out > ../docs/coverage/held_out_defects.md"
    )


def test_a_network_without_a_held_out_fault_is_the_same():
    from kxchange.validation.against import validate_against

    for catalogue in (held_out.HELD_OUT, held_out_second.SECOND):
        for name in list(catalogue)[::5]:
            right, again = (defects.network(name, faulty=False, catalogue=catalogue) for _ in range(2))
            assert validate_against(right, again, cases=2).ok, name
