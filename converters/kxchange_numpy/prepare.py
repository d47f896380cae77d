"""Run models with the ops' NumPy references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kxchange.converter import Runner
from kxchange.graph import Node
from kxchange.inputs import InputBinder
from kxchange.model import Array, Model
from kxchange.passes.retype import retype
from kxchange.reference import BUDGET, evaluate
from kxchange.spec import REGISTRY
from kxchange.types import DType


class Weights(Mapping[str, Array]):
    """A model's parameters by name, read when they are first needed."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._read: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._read:
            self._read[name] = self._model.array(name)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._model.parameters)

    def __len__(self) -> int:
        return len(self._model.parameters)


def prepare(
    model: Model, *, function: str | None = None, dtype: DType | str | None = None, budget: int = BUDGET
) -> Runner:
    """A runner of one function: arrays by input name in, arrays by output name out, in order.

    Args:
        model: What to run.
        function: Which entry point; by default the main one.
        dtype: Compute in this floating dtype instead of the model's own.
        budget: Bytes that one node's outputs may take.
    """
    model = model if dtype is None else retype(model, DType(dtype))
    chosen = model.function(function)
    bind = InputBinder(model, function)
    weights = Weights(model)

    def run(inputs: Mapping[str, Any]) -> dict[str, Array]:
        arrays, dims = bind(inputs)
        results = evaluate(chosen.graph, arrays, weights, dims, budget=budget)
        return dict(zip(chosen.output_names, results, strict=True))

    return run


def supports(node: Node) -> bool:
    """Every op has a reference."""
    return node.op in REGISTRY


def held_weights(model: Model) -> dict[str, Array]:
    """The parameters as the runner reads them: the model's own arrays."""
    return dict(Weights(model))
