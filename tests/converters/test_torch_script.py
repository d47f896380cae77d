"""Live TorchScript, and what is said where torch cannot trace."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange.errors import CaptureError, KxchangeWarning  # noqa: E402


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.drop = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        return self.norm(self.drop(self.first(x))).softmax(-1)


@pytest.mark.parametrize("compiled", [torch.jit.script, lambda net: torch.jit.trace(net, torch.ones(3, 4))])
def test_live_torchscript(compiled: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = compiled(Net().eval())
        model = kx.capture(script, torch.randn(3, 4))
    assert set(model.parameters) >= {"first.weight", "first.bias", "norm.weight", "norm.running_mean"}
    x = torch.randn(6, 4)
    found = next(iter(model(**{model.input_names[0]: x.numpy()}).values()))
    np.testing.assert_allclose(found, script(x).detach().numpy(), rtol=1e-4, atol=1e-5)


class Branching(nn.Module):
    def forward(self, x):
        if bool(x.sum() > 0):
            return x
        return -x


def test_torchscript_that_torch_cannot_convert() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.script(Branching())
        with pytest.raises(CaptureError, match="Branching"):
            kx.capture(script, torch.ones(3), torch.ones(2))


def test_the_private_converter_is_there() -> None:
    from torch._export import converter

    assert callable(converter.TS2EPConverter.convert)


def test_an_error_quotes_the_line_and_torch_dumps_no_graph(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CaptureError, match=r"test_torch_script.py:\d+: .*in `if bool\(x.sum\(\) > 0\):`.*torch.where"):
        kx.capture(Branching(), torch.ones(3))
    assert "def forward" not in "".join(capsys.readouterr())


def test_operators_without_a_traceable_form() -> None:
    with pytest.raises(CaptureError, match="no form that can be traced.*dense"):
        kx.capture(lambda x: torch.sparse.mm(x.to_sparse(), x), torch.ones(3, 3))


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


def test_numbers_that_forward_changes_are_named() -> None:
    with pytest.warns(KxchangeWarning, match=r"self\.calls \(0 to 1\)"):
        kx.capture(Counting(), torch.ones(3))
