"""Gradients of every backend against each other, in float64: fixed cotangents, every parameter and floating input."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kxchange.errors import KxchangeError
from kxchange.graph import Graph
from kxchange.model import Array, Model
from kxchange.passes.retype import retype
from kxchange.reference import evaluate
from kxchange.types import DType
from kxchange.validation.job import COTANGENT, GRADIENTS, Result
from kxchange.validation.report import Row
from kxchange.validation.truth import Truth
from kxchange.validation.verdict import Verdict

GRADIENT_LIMIT = 1e-10
"""Largest L2 norm of a gradient's difference, in units of the model's largest gradient norm."""
DIFFERENCES_LIMIT = 1e-5
"""The same for slopes against central differences of the reference; their own error is about 1e-9 if smooth."""
CASES = 2
STEP = 1e-6
DIRECTIONS = 3


def gradient_cases(truth: Truth, seed: int) -> list[dict[str, Array]]:
    """Inputs and normal cotangents for the first cases; none where no output is floating."""
    found: list[dict[str, Array]] = []
    for number, case in enumerate(truth.cases[:CASES]):
        rng = np.random.default_rng([seed, number])
        outputs = {name: array for name, array in truth.outputs[number].items() if array.dtype == np.float64}
        cotangents = {COTANGENT + name: rng.normal(size=array.shape) for name, array in outputs.items()}
        if cotangents:
            found.append({**truth.wide_inputs(case), **cotangents})
    return found


def judge_gradients(
    rows: Sequence[Row], results: Mapping[str, Result], truth: Truth, cases: Sequence[Mapping[str, Array]]
) -> None:
    """Give every row that computed gradients its verdict.

    Two backends that agree within the limit are SAME. Where they do not, or where there is one backend only, central
    differences of the NumPy reference along random directions say which is wrong.
    """
    found: dict[str, list[dict[str, Array]]] = {}
    for row in rows:
        outcome = results[row.backend].outcomes.get(GRADIENTS) if row.backend in results else None
        if outcome is None:
            continue
        row.gradients = Verdict.UNVERIFIED
        if outcome.error:
            row.notes.append(f"gradients: unverified, {outcome.error}")
        elif outcome.outputs:
            found[row.backend] = outcome.outputs
    judged = {row.backend: row for row in rows if row.backend in found}
    for name, row in judged.items():
        others = {other: gradients for other, gradients in found.items() if other != name}
        judge_row(row, found[name], others, truth, cases)


def judge_row(
    row: Row,
    own: Sequence[Mapping[str, Array]],
    others: Mapping[str, Sequence[Mapping[str, Array]]],
    truth: Truth,
    cases: Sequence[Mapping[str, Array]],
) -> None:
    """One backend against every other one, and against differences where that is not enough."""
    disagreements = {other: compare_gradients(own, theirs) for other, theirs in others.items()}
    if disagreements and not any(disagreements.values()):
        row.gradients = Verdict.SAME
        return
    try:
        slope = compare_slopes(retype(truth.model, DType.FLOAT64), truth.function_name, own, cases)
    except KxchangeError as error:
        row.notes.append(f"gradients: unverified, {error}")
        return
    row.gradients = Verdict.WRONG if slope else Verdict.SAME
    row.notes += [f"gradients: {slope}"] * bool(slope)
    row.notes += [f"gradients: {other} has others: {text}" for other, text in disagreements.items() if text]
    if not disagreements:
        row.notes.append("gradients: against central differences only, no other backend has any")


def compare_gradients(own: Sequence[Mapping[str, Array]], other: Sequence[Mapping[str, Array]]) -> str:
    """The gradient that differs most, in words; empty if all agree."""
    worst, text = GRADIENT_LIMIT, ""
    for mine, theirs in zip(own, other, strict=True):
        if mine.keys() != theirs.keys():
            return f"gradients of other tensors: {', '.join(sorted(mine.keys() ^ theirs.keys())[:5])}"
        scale = max((norm(array) for array in (*mine.values(), *theirs.values())), default=0.0) or 1.0
        for name, array in mine.items():
            if array.shape != theirs[name].shape:
                return f"the gradient of {name!r} has shape {list(theirs[name].shape)}, not {list(array.shape)}"
            error = difference(array, theirs[name]) / scale
            if not error <= worst:
                worst, text = error, f"{name!r} differs by {error:.1e} of the largest gradient norm (limit 1e-10)"
    return text


def norm(array: Array) -> float:
    """L2 norm of the finite elements."""
    return float(np.linalg.norm(np.where(np.isfinite(array), array, 0.0)))


def difference(first: Array, second: Array) -> float:
    """L2 norm of the difference; infinite where NaN or infinities stand at different places."""
    finite = np.isfinite(first)
    if not np.array_equal(finite, np.isfinite(second)) or not np.array_equal(
        first[~finite], second[~finite], equal_nan=True
    ):
        return math.inf
    return float(np.linalg.norm(first[finite] - second[finite]))


def compare_slopes(
    model: Model, function: str | None, own: Sequence[Mapping[str, Array]], cases: Sequence[Mapping[str, Array]]
) -> str:
    """Gradients along random directions against central differences of the reference; empty if they agree."""
    for gradients, case in zip(own, cases, strict=True):
        loss = make_loss(model, function, case)
        scale = max((norm(array) for array in gradients.values()), default=0.0) or 1.0
        for name, gradient in gradients.items():
            for draw in range(DIRECTIONS):
                direction = np.random.default_rng(draw).normal(size=gradient.shape)
                direction /= norm(direction) or 1.0
                slope = (loss(name, STEP * direction) - loss(name, -STEP * direction)) / (2 * STEP)
                error = abs(float((gradient * direction).sum()) - slope) / scale
                if not error <= DIFFERENCES_LIMIT:
                    return f"{name!r} is off by {error:.1e} of the largest gradient norm from central differences"
    return ""


def make_loss(model: Model, function: str | None, case: Mapping[str, Array]) -> Callable[[str, Array], float]:
    """``(name, step) -> sum of outputs times cotangents``, with one input or parameter moved by the step."""
    entry = model.function(function)
    held = {name: model.array(name) for name in model.parameters}
    weights = {n: case[COTANGENT + n] for n in entry.output_names if COTANGENT + n in case}
    values = [v for n, v in zip(entry.output_names, entry.graph.outputs, strict=True) if n in weights]
    graph = Graph(entry.graph.inputs, tuple(values))

    def loss(name: str, step: Array) -> float:
        kind, _, key = name.partition(" ")
        inputs = {n: case[n] + step if (kind, key) == ("input", n) else case[n] for n in entry.input_names}
        tied = {n for n, p in model.parameters.items() if kind == "parameter" and key in (n, p.alias_of)}
        outputs = evaluate(graph, list(inputs.values()), held | {n: held[n] + step for n in tied})
        return float(sum((y * w).sum() for y, w in zip(outputs, weights.values(), strict=True)))

    return loss
