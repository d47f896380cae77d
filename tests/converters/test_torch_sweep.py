"""Operators and habits met in a sweep over many architectures; every expected value is torch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kxchange as kx
from kxchange import reference
from kxchange.errors import UnsupportedOpError
from kxchange.model import Model

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

from kxchange_torch.capture import capture  # noqa: E402


def assert_same(module: Any, model: Model, *inputs: torch.Tensor, tolerance: float = 1e-5) -> None:
    expected = module(*[x.clone() for x in inputs])
    expected = expected if isinstance(expected, tuple) else (expected,)
    parameters = {name: model.array(name) for name in model.parameters}
    found = reference.evaluate(model.main.graph, [x.detach().numpy() for x in inputs], parameters)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 3])
def test_embedding_bag_of_rows_has_two_symbolic_sizes(mode: str, padding: int | None) -> None:
    torch.manual_seed(0)
    module = nn.EmbeddingBag(10, 4, mode=mode, padding_idx=padding)
    module.weight.data.normal_()
    model = capture(module, torch.randint(0, 10, (3, 5)), dynamic={"input": ("batch", "seq")})
    for batch, seq in ((3, 5), (1, 7), (4, 1), (2, 2)):
        assert_same(module, model, torch.randint(0, 10, (batch, seq)))
    assert_same(module, model, torch.full((2, 3), 3))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("last", [False, True])
def test_embedding_bag_by_offsets_with_an_empty_bag(mode: str, last: bool) -> None:
    torch.manual_seed(0)
    module = nn.EmbeddingBag(10, 4, mode=mode, include_last_offset=last)
    offsets = torch.tensor([0, 2, 2, 5] + [9] * last)
    model = capture(module, torch.randint(0, 10, (9,)), offsets, dynamic=False)
    assert_same(module, model, torch.randint(0, 10, (9,)), offsets)
    assert_same(module, model, torch.randint(0, 10, (9,)), torch.tensor([0, 1, 4, 9] + [9] * last))


def test_weighted_embedding_bag() -> None:
    module = nn.EmbeddingBag(10, 4, mode="sum")
    inputs = torch.randint(0, 10, (6,)), torch.tensor([0, 4]), torch.randn(6)
    assert_same(module, capture(module, *inputs, dynamic=False), *inputs)


def test_a_range_whose_step_is_a_size() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.arange(0, x.numel(), x.shape[1])

    model = capture(forward, torch.randn(3, 5), dynamic={"x": ("batch", "seq")})
    for shape in ((3, 5), (1, 4), (6, 1)):
        assert_same(forward, model, torch.randn(shape))


def test_an_einsum_of_three_operands_keeps_its_sizes_symbolic() -> None:
    def forward(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bse,bsd,ef->bdf", x, y, torch.ones(4, 3))

    dims = ("batch", "seq", None)
    model = capture(forward, torch.randn(3, 9, 4), torch.randn(3, 9, 5), dynamic={"x": dims, "y": dims})
    assert_same(forward, model, torch.randn(2, 4, 4), torch.randn(2, 4, 5))


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
        self.stack = nn.TransformerDecoder(layer, 1)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        return self.stack(x, memory, tgt_mask=nn.Transformer.generate_square_subsequent_mask(x.shape[1]))


def test_a_transformer_that_looks_whether_its_mask_is_causal() -> None:
    module = Decoder().eval()
    dynamic = {"x": ("batch", "seq", None), "memory": ("batch", "memory", None)}
    model = capture(module, torch.randn(3, 5, 8), torch.randn(3, 4, 8), dynamic=dynamic)
    assert_same(module, model, torch.randn(2, 7, 8), torch.randn(2, 3, 8))


def test_a_distribution_that_checks_its_arguments() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.distributions.Normal(x.mean(), x.exp().mean()).log_prob(x)

    before = torch.distributions.Distribution._validate_args
    torch.distributions.Distribution.set_default_validate_args(True)
    try:
        assert_same(forward, capture(forward, torch.randn(3, 4)), torch.randn(5, 4))
        assert torch.distributions.Distribution._validate_args
    finally:
        torch.distributions.Distribution.set_default_validate_args(before)


def test_an_epsilon_that_follows_the_dtype_is_the_narrow_ones_in_float64() -> None:
    model = capture(nn.RMSNorm(8), torch.randn(3, 8))
    assert kx.validate(model, backends=["numpy"], processes=False, cases=2).ok


class Cache(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.add_(x.sum(0))
        return x * self.seen


def test_a_module_that_writes_its_buffer_is_validated_and_left_as_it_was() -> None:
    module = Cache()
    model = capture(module, torch.randn(3, 4))
    report = kx.validate(model, backends=["numpy", "torch"], processes=False, cases=3)
    assert report.ok, report
    assert all(row.function.value == "SAME" for row in report.rows), report
    assert torch.equal(module.seen, torch.zeros(4))


def test_a_size_that_only_the_data_decides_is_a_blocker() -> None:
    def forward(x: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        first = counts.tolist()[0]
        torch._check_is_size(first)
        torch._check(first <= 6)
        return torch.split(x, [first, 6 - first], dim=1)

    with pytest.raises(UnsupportedOpError, match="only the data decides"):
        capture(forward, torch.randn(2, 6), torch.tensor([2]), dynamic=False)


def test_indices_into_an_axis_of_symbolic_size_are_drawn_inside_it() -> None:
    def forward(x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x).index_add(0, edges[1], x[edges[0]])

    edges = torch.tensor([[0, 1, 5], [6, 2, 1]])
    model = capture(forward, torch.randn(7, 4), edges, dynamic={"x": ("nodes", None), "edges": (None, "edges")})
    report = kx.validate(model, backends=["numpy", "torch"], processes=False, cases=4)
    assert report.ok, report
