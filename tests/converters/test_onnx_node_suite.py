"""The onnx package's own node tests do not fall behind what docs/coverage/onnx.json states."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import onnx
import pytest

from tests.third_party import onnx_node_tests as suite

pytestmark = pytest.mark.onnx
STATED = json.loads(suite.RESULTS.read_text(encoding="utf-8"))
GOOD = ("pass", "bound")


def stated(backend: str, kind: str, name: str) -> str:
    entry = STATED[backend][kind]["cases"].get(name)
    return entry[0] if entry else "pass"


def fallen(backend: str, cases: Iterator[Any]) -> list[str]:
    """Cases that are stated to pass and do not, or that are wrong without being stated so."""
    found = []
    for case in cases:
        outcome, reason = suite.judge(case, backend)
        before = stated(backend, case.kind, case.name)
        if (before in GOOD and outcome not in GOOD) or (outcome == "wrong" and before != "wrong"):
            found.append(f"{case.name}: {outcome}: {reason}")
    return found


STEPS = {"numpy": 24, "torch": 24, "onnx": 48, "jax": 96, "tensorflow": 96}
"""Of how many cases one is run each time; the slow tests run all."""


@pytest.mark.parametrize("backend", STEPS)
def test_a_fixed_sample_is_as_stated(backend: str) -> None:
    pytest.importorskip({"onnx": "onnxruntime"}.get(backend, backend))
    assert not fallen(backend, islice(suite.cases(("node",)), 3, None, STEPS[backend]))


@pytest.mark.parametrize("kind", ["simple", "pytorch-converted", "pytorch-operator"])
def test_the_small_suites_are_as_stated(kind: str) -> None:
    assert not fallen("numpy", suite.cases((kind,)))


@pytest.mark.slow
@pytest.mark.parametrize("backend", suite.BACKENDS)
def test_every_case_is_as_stated(backend: str) -> None:
    assert not fallen(backend, suite.cases(("node",)))


def test_what_is_stated_meets_the_aim() -> None:
    for backend, aim in {"numpy": 0.95, "torch": 0.90, "jax": 0.85, "tensorflow": 0.85}.items():
        counts = STATED[backend]["node"]["counts"]
        assert (counts["pass"] + counts["bound"]) / sum(counts.values()) >= aim
    assert all("wrong" not in kind["counts"] for backend in suite.BACKENDS for kind in STATED[backend].values())


def test_what_onnx_runtime_passes_comes_through_us_too() -> None:
    theirs, ours = (STATED[name]["node"] for name in (suite.RUNTIME, "onnx"))
    names = {case.name for case in suite.cases(("node",))}
    passed = names - theirs["cases"].keys()
    lost = {name for name in passed if ours["cases"].get(name, ["pass"])[0] not in GOOD}
    assert len(lost) <= 0.05 * len(passed)


def test_a_wrong_answer_is_noticed() -> None:
    """The judge itself: other values, another dtype, another shape, NaN for a number."""
    case = next(iter(suite.cases(("node",), "test_relu")))
    ((inputs, (wanted,)),) = case.sets
    assert suite.judge(case, "numpy") == ("pass", "")
    for output in (wanted + 1, wanted.astype(np.float64), wanted[:1], np.where(wanted > 1, np.nan, wanted)):
        changed = suite.Case(case.kind, case.name, case.model, [(inputs, [output])], case.rtol, case.atol)
        assert suite.judge(changed, "numpy")[0] == "wrong"


def test_the_page_is_the_one_of_the_results() -> None:
    assert onnx.__version__ in suite.PAGE.read_text(encoding="utf-8")
    assert suite.page(STATED) == suite.PAGE.read_text(encoding="utf-8")
