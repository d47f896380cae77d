"""The sweep over every Hugging Face model type: its page is generated, its counts hold, and nothing is silently wrong."""

from __future__ import annotations

import pytest

from tests.third_party.torch_wild import PAGE, page, read_records

ENOUGH = 80
"""Architectures that were SAME when this was written."""


def test_the_page_says_what_was_measured() -> None:
    records = read_records()
    assert PAGE.read_text(encoding="utf-8") == page([records[name] for name in sorted(records)])


def test_most_are_the_same_and_none_is_wrong() -> None:
    outcomes = [record["outcome"] for record in read_records().values()]
    assert outcomes.count("SAME") >= ENOUGH
    assert not {"WRONG", "SUSPECT"} & set(outcomes)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.hf
@pytest.mark.parametrize("name", ["olmo3", "focalnet", "nllb-moe", "markuplm"])
def test_a_sample_is_still_the_same(name: str) -> None:
    pytest.importorskip("transformers")
    from tests.third_party.torch_wild import BACKENDS, examine

    record = examine(name, BACKENDS)
    assert record["outcome"] == "SAME", record
