"""torch's own operator samples do not fall behind what docs/coverage/torch.json states."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.third_party import torch_opinfo as suite  # noqa: E402

pytestmark = pytest.mark.torch
STATED = json.loads(suite.RESULTS.read_text(encoding="utf-8"))


def fallen(entries: Iterable[Any]) -> list[str]:
    """Samples that are refused or wrong and not stated to be, of the entries that are stated to be right or partly."""
    found: list[str] = []
    for entry in entries:
        name = suite.name_of(entry)
        stated = STATED["entries"].get(name, {"verdict": "", "samples": {}})
        for key, (outcome, reason) in suite.run_entry(entry).items():
            known = stated["samples"].get(key, ["right"])[0]
            if outcome == "wrong" or (outcome == "refused" and known == "right" and stated["verdict"] == "right"):
                found.append(f"{name} {key}: {outcome}: {reason}")
    return found


def test_a_fixed_sample_is_as_stated() -> None:
    assert not fallen(suite.entries()[5::50])


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_every_entry_is_as_stated(part: int) -> None:
    assert not fallen(suite.entries()[part::20])


def test_what_is_stated_meets_the_aim() -> None:
    number = Counter(entry["verdict"] for entry in STATED["entries"].values())
    exportable = number["right"] + number["partly"] + number["refused"] + number["wrong"]
    assert number["right"] / exportable >= 0.95
    assert not number["wrong"]


def test_a_wrong_answer_is_noticed() -> None:
    """The judge itself: other values, another dtype, another shape, NaN for a number."""
    wanted = torch.tensor([1.0, 2.0])
    assert suite.difference([wanted.clone()], [wanted]) == ""
    for found in (wanted + 1e-3, wanted.double(), wanted[:1], torch.tensor([1.0, float("nan")])):
        assert suite.difference([found], [wanted])


def test_the_page_is_the_one_of_the_results() -> None:
    assert suite.page(STATED) == suite.PAGE.read_text(encoding="utf-8")
