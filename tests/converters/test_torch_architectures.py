"""The thirty architectures: SAME everywhere, and a rebuilt module that does what a module does. The page is generated."""

from __future__ import annotations

import pytest

from tests.third_party.torch_architectures import HOME, SKILLS, examine, page, read_records

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.hf]

from tests.zoo_hf import ZOO  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_an_architecture_is_the_same_everywhere_and_rebuilt(name: str) -> None:
    record = examine(name)
    assert set(record["verdicts"].values()) == {"SAME"}, record
    assert {skill: record[skill] for skill in SKILLS} == dict.fromkeys(SKILLS, "yes")


def test_the_page_says_what_was_measured() -> None:
    assert (HOME / "torch_architectures.md").read_text(encoding="utf-8") == page(read_records())
    assert {record["name"] for record in read_records()} <= set(ZOO)
