"""Packed sequences: captured with symbolic sizes, on lengths that the trace never saw; programs keep those sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange.errors import CaptureError, UnsupportedOpError  # noqa: E402
from kxchange_torch.private_recurrent import OVER_LENGTHS  # noqa: E402

pytestmark = pytest.mark.torch


class Tagger(nn.Module):
    """Sequences in any order; what is left out by the longest is cut off, unless the total length is kept."""

    def __init__(self, *, total: bool) -> None:
        super().__init__()
        self.layer = nn.LSTM(3, 4, batch_first=True, bidirectional=True)
        self.total = total

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, (hidden, cell) = self.layer(packed)
        total = x.shape[1] if self.total else None
        padded, again = pad_packed_sequence(outputs, batch_first=True, total_length=total)
        return padded, again, hidden, cell


class Rows(nn.Module):
    """Sorted sequences, given states, and arithmetic on the rows themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4)
        self.rnn = nn.RNN(4, 2, bidirectional=True, nonlinearity="relu")

    def forward(self, x: torch.Tensor, lengths: torch.Tensor, state: torch.Tensor) -> Any:
        packed, last = self.gru(pack_padded_sequence(x, lengths), state)
        packed = PackedSequence(packed.data * 2 + 1, packed.batch_sizes)
        packed, ends = self.rnn(packed)
        return *pad_packed_sequence(packed, padding_value=-7.0), last, ends


def equal(found: Any, right: Any) -> None:
    for ours, theirs in zip(found, right, strict=True):
        assert ours.shape == tuple(theirs.shape)
        np.testing.assert_allclose(np.asarray(ours), theirs.numpy(), rtol=1e-5, atol=1e-6)


def flat(outputs: Any) -> list[torch.Tensor]:
    """The tensors of nested tuples; what stands in a dict, in its order."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [t for item in (outputs.values() if isinstance(outputs, dict) else outputs) for t in flat(item)]


@pytest.mark.parametrize("total", [True, False])
def test_sequences_in_any_order(total: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Tagger(total=total).eval()
    forward = nn.LSTM.forward
    dims = {"x": ("batch", "time", None), "lengths": ("batch",)}
    model = kx.capture(module, torch.randn(3, 6, 3), torch.tensor([6, 2, 4]), dynamic=dims)
    assert nn.LSTM.forward is forward
    assert "_pack_padded_sequence" not in vars(torch._VF)
    ops = [node.op for node in model.main.graph.nodes()]
    assert ops.count("lstm") == 2
    assert ("nonzero" in ops) is not total
    rebuilt = model.to("torch")
    for lengths in ([6, 2, 4], [1, 1], [3, 5, 1, 4]):
        x = torch.randn(len(lengths), 6, 3)
        with torch.no_grad():
            right = flat(module(x, torch.tensor(lengths)))
            equal(flat(rebuilt(x, torch.tensor(lengths))), right)
        equal(model(x=x.numpy(), lengths=np.array(lengths)).values(), right)
    rebuilt.load_state_dict(module.state_dict(), strict=True)


def test_rows_of_a_packed_sequence() -> None:
    torch.manual_seed(1)
    module = Rows().eval()
    dims = {"x": ("time", "batch", None), "lengths": ("batch",), "state": (None, "batch", None)}
    lengths = torch.tensor([5, 3, 3])
    model = kx.capture(module, torch.randn(6, 3, 3), lengths, torch.randn(1, 3, 4), dynamic=dims)
    for some in ([5, 3, 3], [4, 1]):
        x, lengths, state = torch.randn(7, len(some), 3), torch.tensor(some), torch.randn(1, len(some), 4)
        with torch.no_grad():
            right = flat(module(x, lengths, state))
        equal(model(x=x.numpy(), lengths=lengths.numpy(), state=state.numpy()).values(), right)


def test_what_has_no_lift_is_named() -> None:
    class Foreign(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.GRU(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(PackedSequence(x, torch.tensor([2, 1])))[1]

    with pytest.raises(CaptureError, match=r"test_torch_packed\.py:\d+.*pack_padded_sequence"):
        kx.capture(Foreign(), torch.randn(3, 3), dynamic=False)

    class Projected(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(3, 4, proj_size=2)

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return self.layer(pack_padded_sequence(x, lengths))[1][0]

    with pytest.raises(UnsupportedOpError, match="proj_size"):
        kx.capture(Projected(), torch.randn(4, 3, 3), torch.tensor([4, 2, 1]), dynamic=False)
    assert set(OVER_LENGTHS) == {"LSTM", "GRU", "RNN_TANH", "RNN_RELU"}


class Stepping(nn.Module):
    """What torch's own trace of recurrent layers and of `take_along_dim` fixes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(3, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> Any:
        picked = torch.take_along_dim(x, torch.tensor([[[2, 0]]]), 2)
        return *torch.sort(self.layer(x)[0], -1), picked, torch.bucketize(x, torch.tensor([-0.5, 0.5]))


def test_an_exported_program_keeps_symbolic_sizes(tmp_path: Path) -> None:
    torch.manual_seed(2)
    module = Stepping().eval()
    model = kx.capture(module, torch.randn(2, 5, 3), dynamic={"x": ("batch", "time", None)})
    kx.save(model, tmp_path / "net.pt2")
    assert len(kx.load(tmp_path / "net.pt2").dims) == 2
    program = torch.export.load(tmp_path / "net.pt2").module()
    for sizes in ((3, 4, 3), (2, 7, 3)):
        x = torch.randn(*sizes)
        with torch.no_grad():
            right = flat(module(x))
            equal(flat(program(x)), right)
        equal(model(x=x.numpy()).values(), right)
