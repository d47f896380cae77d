"""Gradients of every backend against ones that owe it nothing: central differences of the NumPy reference in float64.

@pytest.mark.parametrize("case", differentiable(), ids=str)
def test_gradient(case):
    check_gradient(case, gradients_by_torch)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.errors import MismatchError
from kxchange.model import Model
from kxchange.reference import evaluate
from kxchange.spec import REGISTRY
from kxchange.testing.backends import Case, cases, sample_inputs, sample_model
from kxchange.types import DType

Array = NDArray[Any]
Weights = list[Array | None]
Gradients = Callable[[Model, Mapping[str, Array], Weights, list[str]], Mapping[str, Array]]
"""``(model, inputs, weights, names) -> gradients by name`` of ``(output * weight).sum()``, summed over the outputs."""

STEP = 1e-6
"""Of the differences: their error is about 1e-9 of the gradient for functions of ordinary curvature."""
DIRECTIONS = 3
ROUNDING = 2.0**-52


def differentiable() -> Iterator[Case]:
    """Every sample in float64 whose op has gradients, with something floating going in."""
    for case in cases((DType.FLOAT64,)):
        sample = case.sample
        wanted = REGISTRY[sample.op].differentiable if sample.differentiable is None else sample.differentiable
        floating = [o is not None and (o.dtype is None or o.dtype is DType.FLOAT64) for o in sample.operands]
        if wanted and any(floating) and DType.FLOAT64 in sample.dtypes:
            yield case


class Loss:
    """A random weighting of a sample's floating outputs, as a function of its floating inputs.

    Attributes:
        model: The sample's model.
        inputs: Its inputs.
        names: Those that are floating.
        weights: One array per output, None for one that is not floating.
    """

    def __init__(self, case: Case) -> None:
        self.model = sample_model(case.sample, symbolic=case.symbolic)
        self.inputs = sample_inputs(case.sample, self.model)
        self.names = [name for name, array in self.inputs.items() if array.dtype == np.float64]
        self._generator = np.random.default_rng(7)
        self.weights: Weights = [
            self._generator.standard_normal(array.shape) if array.dtype == np.float64 else None
            for array in self._outputs(self.inputs)
        ]

    @property
    def empty(self) -> bool:
        """Whether nothing floating goes in, or comes out."""
        return not self.names or all(weight is None for weight in self.weights)

    def _outputs(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        return evaluate(self.model.main.graph, list(inputs.values()))

    def value(self, inputs: Mapping[str, Array]) -> float:
        """The loss by the NumPy reference."""
        pairs = zip(self._outputs(inputs), self.weights, strict=True)
        return float(sum((y * w).sum() for y, w in pairs if w is not None))

    def directions(self) -> Iterator[dict[str, Array]]:
        """Random ones, each element in proportion to the input's, so that a step is small for tiny and huge ones."""
        for _ in range(DIRECTIONS):
            yield {
                name: self._generator.standard_normal(self.inputs[name].shape) * _scale(self.inputs[name])
                for name in self.names
            }

    def slope(self, direction: Mapping[str, Array]) -> float:
        """The derivative along a direction, by central differences."""
        ahead, behind = (
            self.value({n: a + sign * STEP * direction[n] if n in direction else a for n, a in self.inputs.items()})
            for sign in (1.0, -1.0)
        )
        return (ahead - behind) / (2.0 * STEP)


def _scale(x: Array) -> Array:
    """How far each element may move: in proportion to itself, but not beyond how far they lie apart (trap N04)."""
    finite = x[np.isfinite(x)]
    spread = float(np.std(finite)) if finite.size > 1 else 0.0
    own = np.where((x == 0) | ~np.isfinite(x), 1.0, np.abs(x))
    return np.minimum(own, spread) if spread > 0.0 else own


def check_gradient(case: Case, gradients: Gradients) -> None:
    """A backend's gradients agree with the differences along random directions.

    Raises:
        MismatchError: They do not.
    """
    loss = Loss(case)
    if loss.empty:
        return
    found = gradients(loss.model, loss.inputs, loss.weights, loss.names)
    for direction in loss.directions():
        terms = [found[name] * direction[name] for name in loss.names]
        got = sum(float(term.sum()) for term in terms)
        size = sum(float(np.abs(term).sum()) for term in terms)
        wanted = loss.slope(direction)
        noise = sum(float((np.abs(found[n]) * np.abs(loss.inputs[n])).sum()) for n in loss.names) * ROUNDING / STEP
        if not abs(got - wanted) <= max(1e-5 * abs(wanted), 1e-6 * max(size, 1.0), noise):
            raise MismatchError(f"{case}: slope {got!r} by the backend's gradient, {wanted!r} by differences.")
