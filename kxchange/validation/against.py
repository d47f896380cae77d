"""One model against another: is the second the same as the first?"""

from __future__ import annotations

from kxchange.converter import converter
from kxchange.errors import InputError, KxchangeError
from kxchange.model import Model
from kxchange.validation.cases import make_cases
from kxchange.validation.job import FLOAT64, NATIVE, Job
from kxchange.validation.placing import add_place
from kxchange.validation.report import Report
from kxchange.validation.truth import Truth
from kxchange.validation.validate import CASES, judge_backend, source_outputs
from kxchange.validation.worker import run_job, weight_difference


def validate_against(
    model: Model,
    other: Model,
    *,
    backend: str = "numpy",
    cases: int = CASES,
    seed: int = 0,
    function: str | None = None,
    bisect: bool = True,
) -> Report:
    """Judge `other` by the truth of `model`: same inputs, same three questions.

    Args:
        model: What is right.
        other: What is asked about; its inputs and outputs must have the names of the first.
        backend: Where the other model runs.
        cases: Generated cases.
        seed: Of the inputs.
        function: Entry point in both.
        bisect: Find the place where the row is not SAME.

    Raises:
        InputError: the signatures differ, so that no input fits both.
    """
    mine, theirs = model.function(function), other.function(function)
    if set(mine.input_names) != set(theirs.input_names):
        raise InputError(
            f"the models cannot be compared: one takes {', '.join(mine.input_names)}, the other "
            f"{', '.join(theirs.input_names)}. Rename the inputs of one."
        )
    truth = Truth(model, make_cases(model, count=cases, seed=seed, function=function), function=function)
    inputs = {
        NATIVE: [truth.native_inputs(case) for case in truth.cases],
        FLOAT64: [truth.wide_inputs(case) for case in truth.cases],
    }
    result = run_job(Job(backend, "", function), other, inputs)
    result.weights = compare_weights(model, other)
    own, label = source_outputs(model.origin, model, truth, function)
    row = judge_backend(f"other on {backend}", result, truth, own, requested=True)
    if row is None:
        raise KxchangeError(f"{backend} is not installed.")
    if bisect:
        add_place(row, result, truth, converter(backend).prepare, other)
    settings = {"cases": cases, "seed": seed, "function": function or "main", "against": True}
    return Report("other model", [row], [case.label for case in truth.cases], label, settings)


def compare_weights(model: Model, other: Model) -> dict[str, str]:
    """Parameters of `model` that `other` lacks or holds with other bytes."""
    return {
        name: difference
        for name in model.parameters
        if (difference := weight_difference(other.array(name) if name in other.parameters else None, model.array(name)))
    }
