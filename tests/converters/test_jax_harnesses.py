"""JAX's own primitive harnesses do not fall behind what docs/coverage/jax.json states."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from tests.third_party import jax_harnesses as suite  # noqa: E402

pytestmark = pytest.mark.jax
STATED = json.loads(suite.RESULTS.read_text(encoding="utf-8"))
AIMS = {"numpy": 0.90, "jax": 0.90, "torch": 0.75, "onnx": 0.75}


def stated(backend: str, name: str) -> str:
    """The outcome of a case by the file of results, which names those that do not pass."""
    cases = STATED["backends"][backend]["cases"]
    found = (outcome for outcome, reasons in cases.items() if any(name in names for names in reasons.values()))
    return next(found, "pass")


def fallen(every: int, start: int, backends: Sequence[str]) -> list[str]:
    """Cases that are stated to pass and do not, or that are wrong."""
    found: list[str] = []
    for backend, results in suite.run(suite.sample(every, start), backends).items():
        for key, (outcome, reason) in results.items():
            name = key.partition("/")[2]
            if outcome == "wrong" or (outcome != "pass" and stated(backend, name) == "pass"):
                found.append(f"{backend} {name}: {outcome}: {reason}")
    return found


def test_a_fixed_sample_is_as_stated() -> None:
    assert not fallen(199, 5, ("numpy", "jax"))


def test_another_fixed_sample_is_as_stated_on_every_backend() -> None:
    assert not fallen(499, 11, suite.BACKENDS)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_every_case_is_as_stated(part: int) -> None:
    assert not fallen(20, part, suite.BACKENDS)


def test_what_is_stated_meets_the_aim() -> None:
    assert STATED["every"] == 1
    for backend, aim in AIMS.items():
        counts = STATED["backends"][backend]["counts"]
        assert counts["pass"] / sum(counts.values()) >= aim
        assert "wrong" not in counts


def test_a_wrong_answer_is_noticed() -> None:
    """The judge itself: other values, another dtype, another shape, NaN for a number."""
    case = suite.read(suite.harnesses("tanh_shape_float32")[0])
    assert suite.judge(case, ("numpy",)) == {"numpy": ("pass", "")}
    (wanted,) = case.wanted or (None,)
    assert wanted is not None
    for output in (wanted + 1e-3, wanted.astype(np.float64), wanted[:1], np.where(wanted > 0, np.nan, wanted)):
        changed = suite.Case(case.group, case.name, case.function, case.arrays, [output])
        assert suite.judge(changed, ("numpy",))["numpy"][0] == "wrong"


def test_the_page_is_the_one_of_the_results() -> None:
    assert suite.page(STATED) == suite.PAGE.read_text(encoding="utf-8")
