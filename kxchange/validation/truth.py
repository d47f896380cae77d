"""The yardstick: the graph in float64 on the NumPy reference, its own noise floor, and the scores behind indices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kxchange.graph import Graph, Value
from kxchange.model import Array, Function, Model
from kxchange.passes.retype import retype
from kxchange.reference import evaluate
from kxchange.types import DType
from kxchange.validation.cases import Case
from kxchange.validation.measure import distance, is_exact
from kxchange.validation.noise import evaluate_noisy, open_tails
from kxchange.validation.singular import find_singular
from kxchange.validation.verdict import SMALLEST, UNIT_ROUNDOFF

DRAWS = 2
"""Perturbations drawn for the intrinsic floor."""
UNSTABLE, UNSTABLE_DRAWS = 4.0, 8
"""How many half ULPs, and how often, all is moved to find integers and bools that hang on rounding."""
SCORE_OPS = {"argmax": 0, "argmin": 0, "argsort": 0, "top_k": 1}
"""Ops whose outputs are positions in a ranking -> which output that is."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """An integer output that ranks a floating value."""

    scores: Value
    axis: int


class Truth:
    """What one function of a model should give, case by case.

    Attributes:
        model: In its own dtypes.
        native: In those that accuracy is judged in.
        wide: In float64.
        cases: The inputs.
        outputs: Float64 outputs per case, by output name.
        reference: The NumPy reference in the model's own dtypes, per case.
    """

    def __init__(self, model: Model, cases: Sequence[Case], *, function: str | None = None, dtype: str = "") -> None:
        self.model = model
        self.native = retype(model, DType(dtype)) if dtype else model
        self.cases = cases
        self.function_name = function
        self.wide = retype(model, DType.FLOAT64)
        self.rankings = find_rankings(self.wide.function(function))
        self.outputs, self.scores = self._run(self.wide, [widen(case.inputs) for case in cases])
        self.reference, self.native_scores = self._run(self.native, [self.native_inputs(case) for case in cases])

    def only(self, kept: Sequence[int]) -> Truth:
        """The same yardstick over some of the cases."""
        chosen = copy(self)
        for name in ("_floors", "_drawn", "_singular"):
            vars(chosen).pop(name, None)
        for name in ("cases", "outputs", "scores", "reference", "native_scores"):
            setattr(chosen, name, [getattr(self, name)[number] for number in kept])
        return chosen

    def native_inputs(self, case: Case) -> dict[str, Array]:
        """The case's inputs in the dtypes of the native profile."""
        types = self.native.function(self.function_name).input_types
        return {name: case.inputs[name].astype(type.dtype.numpy) for name, type in types.items()}

    def wide_inputs(self, case: Case) -> dict[str, Array]:
        """The same values in float64."""
        return widen(self.native_inputs(case))

    @cached_property
    def unit(self) -> float:
        """Unit roundoff of the narrowest floating type among inputs, parameters and outputs."""
        return max((UNIT_ROUNDOFF[dtype] for dtype in self._floats), default=UNIT_ROUNDOFF[DType.FLOAT64])

    @cached_property
    def smallest(self) -> float:
        """Absolute error that underflow explains in the coarsest of these types."""
        return max((SMALLEST[dtype] for dtype in self._floats), default=SMALLEST[DType.FLOAT64])

    @property
    def _floats(self) -> set[DType]:
        entry = self.native.function(self.function_name)
        types = [*entry.input_types.values(), *entry.output_types.values()]
        types += [parameter.type for parameter in self.native.parameters.values()]
        return {type.dtype for type in types if type.dtype in UNIT_ROUNDOFF}

    def floor(self, number: int, *, float64: bool = False, tails: bool = False) -> dict[str, tuple[float, float]]:
        """Intrinsic error of case `number` per output: (RMSE, max).

        What comes of moving all by half an ULP: weights, inputs, and what ops between round.

        Args:
            number: Of the case.
            float64: Move them by an ULP of float64 instead of half an ULP of the model's own type.
            tails: With the rounding of kernels inside of ops whose small results are differences (`noise.TAILS`).
        """
        if tails and self.opened is None:
            return self.floor(number, float64=float64)
        key = (number, 2 * UNIT_ROUNDOFF[DType.FLOAT64] if float64 else self.unit, tails)
        if key not in self._floors:
            self._floors[key] = self._perturbed(*key)
        return self._floors[key]

    def singular(self, number: int, *, float64: bool = False) -> str:
        """Which node of case `number` solves with a singular matrix, in words; empty if none does."""
        key = (number, UNIT_ROUNDOFF[DType.FLOAT64] if float64 else self.unit)
        if key not in self._singular:
            entry = self.wide.function(self.function_name)
            inputs = self.wide_inputs(self.cases[number])
            held = {name: self.wide.array(name) for name in self.wide.parameters}
            given = [inputs[name] for name in entry.input_names]
            self._singular[key] = find_singular(entry.graph, given, held, key[1])
        return self._singular[key]

    @cached_property
    def _singular(self) -> dict[tuple[int, float], str]:
        return {}

    @cached_property
    def opened(self) -> Graph | None:
        """The float64 graph with the composite ops that have tails opened; None where there are none."""
        return open_tails(self.wide.function(self.function_name).graph)

    @cached_property
    def _floors(self) -> dict[tuple[int, float, bool], dict[str, tuple[float, float]]]:
        return {}

    def _perturbed(self, number: int, unit: float, tails: bool) -> dict[str, tuple[float, float]]:
        truth = self.outputs[number]
        found = dict.fromkeys(truth, (0.0, 0.0))
        for outputs in self._noisy(number, unit, DRAWS, tails=tails):
            for name, array in outputs.items():
                gap = distance(array, truth[name]) if array.dtype.kind == "f" else None
                if gap is not None and not gap.structure:
                    found[name] = (max(found[name][0], gap.rmse), max(found[name][1], gap.maximum))
        return found

    def drawn(self, number: int, *, float64: bool = False) -> list[dict[str, Array]]:
        """What integers and bools of case `number` become when all is moved by a few ULP, draw by draw."""
        key = (number, UNSTABLE * UNIT_ROUNDOFF[DType.FLOAT64] if float64 else UNSTABLE * self.unit)
        if key not in self._drawn:
            draws = self._noisy(*key, UNSTABLE_DRAWS)
            self._drawn[key] = [{n: array for n, array in found.items() if is_exact(array)} for found in draws]
        return self._drawn[key]

    @cached_property
    def _drawn(self) -> dict[tuple[int, float], list[dict[str, Array]]]:
        return {}

    def _noisy(self, number: int, unit: float, draws: int, *, tails: bool = False) -> Iterator[dict[str, Array]]:
        entry = self.wide.function(self.function_name)
        graph = self.opened if tails and self.opened is not None else entry.graph
        inputs = self.wide_inputs(self.cases[number])
        held = {name: self.wide.array(name) for name in self.wide.parameters}
        for draw in range(draws):
            rng = np.random.default_rng([draw, number])
            given = [inputs[name] for name in entry.input_names]
            arrays = evaluate_noisy(graph, given, held, unit, rng, tails=tails)
            yield dict(zip(entry.output_names, arrays, strict=True))

    def _run(
        self, model: Model, cases: Sequence[Mapping[str, Array]]
    ) -> tuple[list[dict[str, Array]], list[dict[str, Array]]]:
        """Outputs, and the scores behind ranking outputs, per case."""
        entry = model.function(self.function_name)
        rankings = find_rankings(entry)
        graph = Graph(entry.graph.inputs, (*entry.graph.outputs, *(r.scores for r in rankings.values())))
        held = {name: model.array(name) for name in model.parameters}
        outputs: list[dict[str, Array]] = []
        scores: list[dict[str, Array]] = []
        for case in cases:
            arrays = evaluate(graph, [case[name] for name in entry.input_names], held)
            outputs.append(dict(zip(entry.output_names, arrays, strict=False)))
            scores.append(dict(zip(rankings, arrays[len(entry.output_names) :], strict=True)))
        return outputs, scores


def find_rankings(entry: Function) -> dict[str, Ranking]:
    """The outputs that are positions of the largest, smallest or sorted values, with what they rank."""
    found: dict[str, Ranking] = {}
    for name, value in zip(entry.output_names, entry.graph.outputs, strict=True):
        source = value
        while source.node.op == "astype" and source.node.inputs[0] is not None:
            source = source.node.inputs[0]
        scores = source.node.inputs[0] if source.node.inputs else None
        if SCORE_OPS.get(source.node.op) == source.index and scores is not None and scores.type.dtype.is_floating:
            found[name] = Ranking(scores, int(source.node.attrs["axis"]))
    return found


def widen(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Floats in float64, complex in complex128, everything else as it is."""
    return {name: widen_array(array) for name, array in inputs.items()}


def widen_array(array: Array) -> Array:
    """One array in the widest type of its kind."""
    dtype = DType.of(array.dtype)
    if dtype.is_complex:
        return array.astype(np.complex128)
    return array.astype(np.float64) if dtype in UNIT_ROUNDOFF else array
