"""Custom operators with a registered meaning, and the check that finds a wrong one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

import kxchange as kx  # noqa: E402
from kxchange import ops  # noqa: E402
from kxchange.errors import CaptureError, KxchangeWarning, MismatchError, UnsupportedOpError  # noqa: E402
from kxchange_torch import custom_ops  # noqa: E402
from kxchange_torch.custom_ops import check_meanings, meaning_of  # noqa: E402

PAGE = Path(__file__).resolve().parents[2] / "docs" / "custom_torch_ops.md"


@pytest.fixture(autouse=True)
def own_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests register is not checked with the samples of others."""
    monkeypatch.setattr(custom_ops, "_SAMPLES", {})


def custom(name: str) -> Any:
    @torch.library.custom_op(f"kxtest::{name}", mutates_args=())
    def operator(x: torch.Tensor, slope: float) -> torch.Tensor:
        return x * slope + 1

    operator.register_fake(lambda x, slope: torch.empty_like(x))
    return getattr(torch.ops.kxtest, name).default


def test_the_page_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_operator_is_refused_until_it_has_a_meaning() -> None:
    overload = custom("late")
    with pytest.raises(UnsupportedOpError, match=r"kxtest\.late\.default"):
        kx.capture(lambda x: overload(x, 2.0), torch.randn(3, 4))
    meaning_of(overload, samples=[(torch.randn(3, 4), 2.0)])(lambda x, slope: ops.add(ops.multiply(x, slope), 1))
    assert check_meanings(overload) == ["kxtest.late.default"]
    model = kx.capture(lambda x: overload(x, 2.0), torch.randn(3, 4))
    np.testing.assert_allclose(model(x=np.ones((5, 4), np.float32))["output_0"], 3.0)
    with pytest.raises(CaptureError, match="has a meaning already"):
        meaning_of(overload, samples=[(torch.ones(2), 1.0)])


def test_a_wrong_meaning_is_found() -> None:
    overload = custom("wrong")
    meaning_of(overload, samples=[(torch.randn(3, 4), 2.0)])(lambda x, slope: ops.multiply(x, slope))
    with pytest.raises(MismatchError, match=r"kxtest\.wrong\.default, sample 0"):
        check_meanings(overload)


def test_a_module_in_training_mode_is_named() -> None:
    live = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(4))
    with pytest.warns(KxchangeWarning, match=r"training mode.*'1', '2'"):
        kx.capture(live, torch.randn(2, 3))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", KxchangeWarning)
        kx.capture(live.eval(), torch.randn(2, 3))
        kx.capture(torch.nn.Linear(3, 4).train(), torch.randn(2, 3))
