"""Every sample of every op, lowered to torch, against the NumPy reference; and its gradients against others."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import kxchange_torch  # noqa: E402
from kxchange import ops  # noqa: E402, F401
from kxchange.errors import UnsupportedOpError  # noqa: E402
from kxchange.reference import evaluate  # noqa: E402
from kxchange.spec import REGISTRY  # noqa: E402
from kxchange.testing.backends import (  # noqa: E402
    Case,
    cases,
    check_backend_case,
    gap,
    integer_cases,
    load_gaps,
    sample_inputs,
    sample_model,
)
from kxchange.testing.samples import all_samples  # noqa: E402
from kxchange.types import DType  # noqa: E402
from kxchange_torch import private  # noqa: E402
from kxchange_torch.build import build, describe  # noqa: E402
from kxchange_torch.dtypes import to_tensor  # noqa: E402
from kxchange_torch.lower import supports  # noqa: E402
from kxchange_torch.prepare import prepare  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:var\\(\\)")]

GAPS = load_gaps(Path(kxchange_torch.__file__).parent / "gaps.toml")
FLOATS = (DType.FLOAT64, DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)
STEP = 1e-6
"""Of the central differences: the error is about 1e-9 of the gradient for functions of ordinary curvature."""


def marked(case: Case) -> object:
    reason = gap(GAPS, case)
    return pytest.param(case, marks=pytest.mark.xfail(reason=reason, strict=True)) if reason else case


@pytest.mark.parametrize("case", [marked(case) for case in cases(FLOATS)], ids=str)
def test_sample(case: Case) -> None:
    check_backend_case(prepare, case)


@pytest.mark.parametrize("op", sorted(all_samples()))
def test_integer_types(op: str) -> None:
    for case in integer_cases(op):
        if gap(GAPS, case) is None:
            # Where the order of uint64 decides, torch is refused rather than wrong.
            with suppress(UnsupportedOpError) if "uint64" in str(case) else nullcontext():
                check_backend_case(prepare, case)


@pytest.mark.parametrize("op", sorted(all_samples()))
def test_pickles(op: str) -> None:
    """Whatever functions of torch a module calls, `torch.save` of the whole module works."""
    for sample in all_samples()[op]:
        net = build(sample_model(sample, symbolic=sample.symbolic), check=False)
        assert pickle.loads(pickle.dumps(net))._kx.entries["main"].program.source == describe(net)["main"]


def test_private_names_of_torch_are_there() -> None:
    """Each is private to torch: this says which one went when a new version breaks the lowering."""
    x = torch.arange(4.0).reshape(1, 1, 2, 2)
    for rank, kernel in private.NEAREST_EXACT.items():
        assert kernel(torch.ones((1, 1) + (2,) * rank), (3,) * rank).shape == (1, 1) + (3,) * rank
    assert private.BILINEAR_ANTIALIASED(x, (1, 1), False).item() == pytest.approx(1.5)
    assert private.BICUBIC_ANTIALIASED(x, (1, 1), False).item() == pytest.approx(1.5)
    assert private.operator_called("aten.add.Tensor") is torch.ops.aten.add.Tensor
    assert private.operator_name(torch.ops.aten.add.Tensor) == "aten.add.Tensor"
    assert private.operator_name(torch.add) is None
    (last,) = private.while_operator(lambda i: i < 3, lambda i: (i + 1,), (torch.tensor(0),))
    assert last.item() == 3
    carry, stacked = private.scan_operator(
        lambda c, x: ([c[0] + x[0]], [c[0] * 1]), [x[0, 0, 0, 0]], [x[0, 0, 1]], False
    )
    assert carry[0].item() == 5 and stacked[0].tolist() == [0, 2]


def test_every_gap_names_a_case() -> None:
    names = [str(case) for case in cases(FLOATS)]
    unused = [pattern for pattern in GAPS if not any(gap({pattern: "why"}, case) for case in cases(FLOATS))]
    assert names and not unused


def differentiable() -> Iterator[Case]:
    for case in cases((DType.FLOAT64,)):
        sample = case.sample
        wanted = REGISTRY[sample.op].differentiable if sample.differentiable is None else sample.differentiable
        floating = [o is not None and (o.dtype is None or o.dtype is DType.FLOAT64) for o in sample.operands]
        if wanted and any(floating) and DType.FLOAT64 in sample.dtypes and gap(GAPS, case) is None:
            yield case


def x_scale(x: np.ndarray) -> np.ndarray:
    sizes = np.abs(x[np.isfinite(x)])
    spread = float(np.std(x[np.isfinite(x)])) if sizes.size > 1 else 1.0
    return np.minimum(np.where((x == 0) | ~np.isfinite(x), 1.0, np.abs(x)), spread or 1.0)


class Loss:
    """A random weighting of a sample's floating outputs, as a function of its floating inputs."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.model = sample_model(case.sample, symbolic=case.symbolic)
        self.inputs = sample_inputs(case.sample, self.model)
        self.floating = [name for name, array in self.inputs.items() if array.dtype == np.float64]
        self.generator = np.random.default_rng(7)
        self.weights = [
            self.generator.standard_normal(array.shape) if array.dtype == np.float64 else None
            for array in self._outputs(self.inputs)
        ]

    def _outputs(self, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        return evaluate(self.model.main.graph, list(inputs.values()))

    def value(self, inputs: dict[str, np.ndarray]) -> float:
        pairs = zip(self._outputs(inputs), self.weights, strict=True)
        return float(sum((y * w).sum() for y, w in pairs if w is not None))

    def gradients(self, whole: bool) -> dict[str, np.ndarray]:
        """By torch, with the op lowered natively or decomposed."""
        op = self.case.sample.op
        module = build(self.model, supports=supports if whole else lambda node: node.op != op and supports(node))
        tensors = {name: to_tensor(array, copy=True) for name, array in self.inputs.items()}
        for name in self.floating:
            tensors[name].requires_grad_()
        outputs = module.kx_run(next(iter(module._kx.entries.values())), list(tensors.values()))
        pairs = [(y, w) for y, w in zip(outputs, self.weights, strict=True) if w is not None]
        loss = sum((y * torch.from_numpy(w)).sum() for y, w in pairs)
        loss.backward()
        zero = {name: np.zeros(self.inputs[name].shape) for name in self.floating}
        return {n: zero[n] if tensors[n].grad is None else tensors[n].grad.numpy() for n in self.floating}

    def directions(self) -> Iterator[dict[str, np.ndarray]]:
        """Random ones, each element in proportion to the input's, so that a step is small for tiny and huge ones."""
        for _ in range(3):
            yield {name: self.generator.standard_normal(x.shape) * x_scale(x) for name, x in self._floats()}

    def _floats(self) -> list[tuple[str, np.ndarray]]:
        return [(name, self.inputs[name]) for name in self.floating]

    def slope(self, direction: dict[str, np.ndarray]) -> float:
        """The derivative along a direction, by central differences of the NumPy reference."""
        ahead, behind = (
            self.value({n: a + sign * STEP * direction[n] if n in direction else a for n, a in self.inputs.items()})
            for sign in (1, -1)
        )
        return (ahead - behind) / (2 * STEP)


@pytest.mark.parametrize("case", list(differentiable()), ids=str)
def test_gradient(case: Case) -> None:
    loss = Loss(case)
    if not loss.floating or all(weight is None for weight in loss.weights):
        pytest.skip("nothing floating goes in, or comes out")
    gradients = loss.gradients(whole=True)
    for direction in loss.directions():
        found = sum(float((gradients[name] * direction[name]).sum()) for name in loss.floating)
        size = sum(float(np.abs(gradients[name] * direction[name]).sum()) for name in loss.floating)
        assert found == pytest.approx(loss.slope(direction), rel=1e-5, abs=1e-5 * max(size, 1.0))


COMPOSITE = [case for case in differentiable() if not REGISTRY[case.sample.op].primitive]


@pytest.mark.parametrize("case", COMPOSITE, ids=str)
def test_gradient_of_decomposition(case: Case) -> None:
    loss = Loss(case)
    if not loss.floating:
        pytest.skip("nothing floating goes in")
    native, decomposed = loss.gradients(whole=True), loss.gradients(whole=False)
    for name in loss.floating:
        # torch's own hard_swish has constants of float32 precision in its gradient: 6e-8.
        np.testing.assert_allclose(native[name], decomposed[name], rtol=1e-6, atol=1e-10)
