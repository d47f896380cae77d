"""What depends on training mode is named; recurrent layers with projected states are loops."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange.errors import KxchangeWarning  # noqa: E402

pytestmark = pytest.mark.torch


class Functional(nn.Module):
    """Dropout that is no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(self.inner(x), 0.5, training=self.training)


def test_a_line_that_asks_for_the_mode_is_named() -> None:
    line = Functional.forward.__code__.co_firstlineno + 1
    module = Functional()
    with pytest.warns(KxchangeWarning, match=re.escape(f"Functional at test_torch_modes.py:{line}")):
        model = kx.capture(module, torch.ones(3, 4))
    assert module.training and module.inner.training
    assert "training" not in vars(nn.Module)
    assert "dropout" not in [node.op for node in model.main.graph.nodes()]
    with warnings.catch_warnings():
        warnings.simplefilter("error", KxchangeWarning)
        kx.capture(module.eval(), torch.ones(3, 4))
        kx.capture(module.train(), torch.ones(3, 4), training=True)


@pytest.mark.parametrize("options", [{"bidirectional": True, "num_layers": 2}, {"bias": False, "batch_first": True}])
def test_an_lstm_with_projected_states(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = nn.LSTM(3, 5, proj_size=2, **options).eval()
    model = kx.capture(module, torch.randn(4, 3, 3), dynamic={"input": ("one", "two", None)})
    rebuilt = model.to("torch")
    for sizes in ((4, 3), (1, 1), (5, 2)):
        x = torch.randn(*sizes, 3)
        with torch.no_grad():
            right = nn.utils.parameters_to_vector([t.flatten() for t in (module(x)[0], *module(x)[1])])
            found = rebuilt(x)
        np.testing.assert_allclose(
            np.concatenate([value.ravel() for value in model(input=x.numpy()).values()]), right, rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(torch.cat([found[0].flatten(), *(t.flatten() for t in found[1])]), right, atol=1e-6)


class Passing(nn.Module):
    """Arguments that only ``**kwargs`` catches: a tensor and an option."""

    def forward(self, x: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        return x + kwargs["shift"] if kwargs["double"] else x


def test_arguments_below_kwargs_keep_their_symbolic_sizes() -> None:
    module = Passing()
    dims = {"x": ("batch", "seq"), "shift": ("batch", "seq")}
    model = kx.capture(module, torch.ones(3, 5), dynamic=dims, shift=torch.ones(3, 5), double=True)
    assert "forward" not in vars(module)
    assert (model.input_names, model.dims) == (("x", "shift"), ("batch", "seq"))
    (found,) = model(x=np.ones((2, 7), np.float32), shift=np.full((2, 7), 3, np.float32)).values()
    np.testing.assert_array_equal(found, np.full((2, 7), 4))


class Distances(nn.Module):
    """Looks up how far a position is beyond the tenth; torch has no row for a negative distance."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(1000, 4)

    def forward(self, spans: torch.Tensor) -> torch.Tensor:
        return self.table(spans - 10)


def test_cases_that_the_source_refuses_are_left_out_and_named() -> None:
    model = kx.capture(Distances(), torch.tensor([[11, 13], [12, 19]]))
    given = [{"spans": np.array([[10, 999], [13, 14], [17, 18]])}]
    report = kx.validate(model, backends=["numpy", "torch"], processes=False, cases=4, inputs=given)
    assert report.ok, report
    (note,) = (note for note in report.rows[0].notes if "left out" in note)
    assert "cases are left out, which the source refuses (IndexError" in note
    assert len(report.cases) == 1
    with pytest.raises(kx.KxchangeError, match="the source refuses every case"):
        kx.validate(model, backends=["numpy"], processes=False, cases=2)
