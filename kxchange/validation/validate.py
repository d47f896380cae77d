"""Run a model on every backend and judge it: weights, function, accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any

from kxchange.converter import converter
from kxchange.errors import InputError, KxchangeError
from kxchange.hub import load
from kxchange.model import Array, Model
from kxchange.validation.cases import given_cases, make_cases
from kxchange.validation.coverage import measure_coverage
from kxchange.validation.gradients import gradient_cases, judge_gradients
from kxchange.validation.job import FLOAT64, NATIVE, Outcome, Result
from kxchange.validation.judge import Finding, judge_accuracy, judge_function
from kxchange.validation.placing import add_depth, add_place
from kxchange.validation.probe import Prepare
from kxchange.validation.processes import TIMEOUT
from kxchange.validation.report import Report, Row, notes_of
from kxchange.validation.targets import Runs, Target, choose_targets
from kxchange.validation.training import judge_training, optimizer_of
from kxchange.validation.truth import Truth
from kxchange.validation.verdict import Verdict, worst

CASES = 6
"""Generated cases by default: four sizes, three scales."""


def validate(
    model: Model | str | PathLike[str],
    *,
    backends: str | Sequence[str] = "all",
    cases: int = CASES,
    seed: int = 0,
    dtype: str = "",
    function: str | None = None,
    processes: bool = True,
    pythons: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
    progress: Callable[[str], None] | None = None,
    bisect: bool = True,
    gradients: bool = False,
    depth: bool = False,
    truth: Truth | None = None,
    inputs: Sequence[Mapping[str, Array]] = (),
    coverage: bool = True,
    train_steps: int = 0,
    optimizer: str = "sgd",
) -> Report:
    """Prove that a model computes the same on every backend, or show where it does not.

    Where the model still knows the live object it was captured from (`model.origin`), that object's own error sets the
    scale, and its float64 run must agree with the reference.

    Args:
        model: A model or the path of one.
        backends: ``"all"`` installed ones in all their variants, or names such as ``onnx`` or ``onnx:unoptimized``.
        cases: How many seeded cases to generate; the file's recorded samples come on top.
        seed: The same seed gives the same report.
        dtype: Floating type to judge accuracy in; default the model's own.
        function: Entry point; default the main one.
        processes: Run each backend in a process of its own; otherwise in this one.
        pythons: Interpreter per backend, for environments of their own.
        timeout: Seconds for one worker.
        progress: Called with a backend's name when it is done.
        bisect: Find the place of every row that is SUSPECT or WRONG.
        gradients: Compare vector-Jacobian products with fixed cotangents, in float64, on the backends that have them.
        depth: Measure the error of every inner value too, for the plot in the page.
        truth: Of the same model, cases and dtype, where the caller has computed it already.
        inputs: Cases of the caller's own, arrays by input name; they come before the generated ones.
        train_steps: Compare the parameters after so many steps of training, too; gradients come with it.
        optimizer: ``sgd``, ``adam`` or ``adamw``: one and the same rule for every backend's gradients.
        coverage: Measure which parameters and outputs the cases can show a fault of.

    Returns:
        The report; `report.ok`, `report.verdicts`, `report.to_json()`.
    """
    subject = model if isinstance(model, Model) else load(model)
    truth = truth or make_truth(subject, inputs, cases, seed, function, dtype)
    truth, own, refused = accepted_cases(subject, truth, function)
    targets, runs = choose_targets(backends, processes=processes), Runs(processes, pythons or {}, timeout, progress)
    training: dict[str, Any] = {"optimizer": optimizer, "steps": train_steps} if train_steps else {}
    optimizer_of(optimizer)
    products = gradient_cases(truth, seed) if gradients or training else []
    asked = {"function": function, "dtype": dtype, "training": training}
    results = runs.run(subject, targets, truth, asked, products)
    rows = judge_targets(targets, results, truth, own, runs, backends != "all", bisect, depth)
    if subject.origin is not None:
        rows.insert(0, judge_source(subject.origin, subject, truth, function, own))
        rows[0].notes += refused
    judge_slopes(rows, results, truth, products, training)
    settings = {"cases": cases, "seed": seed, "dtype": dtype or "native", "function": function or "main"}
    settings |= ({"gradients": True} if products else {}) | ({"training": training} if training else {})
    title = str(model) if not isinstance(model, Model) else str(subject.provenance.get("name", "model"))
    covered = measure_coverage(truth) if coverage else None
    return Report(title, rows, [case.label for case in truth.cases], source_label(subject), settings, covered)


def source_label(model: Model) -> str:
    """What the error of a backend is compared with."""
    return "numpy reference" if model.origin is None else f"the {model.provenance['backend']} source"


def make_truth(
    model: Model, inputs: Sequence[Mapping[str, Array]], cases: int, seed: int, function: str | None, dtype: str
) -> Truth:
    """The yardstick over the caller's own cases and the generated ones."""
    given = given_cases(model.function(function), inputs)
    made = make_cases(model, count=cases, seed=seed, function=function)
    return Truth(model, [*given, *made], function=function, dtype=dtype)


def judge_targets(
    targets: Sequence[Target],
    results: Mapping[str, Result],
    truth: Truth,
    own: Sequence[Mapping[str, Array]],
    runs: Runs,
    requested: bool,
    bisect: bool,
    depth: bool,
) -> list[Row]:
    """One row per target; none for those that are not installed and were not asked for by name."""
    rows: list[Row] = []
    for target in targets:
        row = judge_backend(target.label, results[target.label], truth, own, requested=requested)
        if row is not None:
            look_inside(row, results[target.label], truth, runs.prepare(target), bisect, depth)
            rows.append(row)
    return rows


def judge_slopes(
    rows: Sequence[Row],
    results: Mapping[str, Result],
    truth: Truth,
    products: Sequence[Mapping[str, Array]],
    training: Mapping[str, Any],
) -> None:
    """What was asked for beyond outputs: gradients, and steps of training."""
    if products:
        judge_gradients(rows, results, truth, products)
    if training:
        judge_training(rows, results, truth.model, training)


def look_inside(row: Row, result: Result, truth: Truth, prepare: Prepare, bisect: bool, depth: bool) -> None:
    """What needs inner values: the place, and the error by depth."""
    if bisect:
        add_place(row, result, truth, prepare)
    if depth:
        add_depth(row, truth, prepare)


def source_outputs(source: Any, model: Model, truth: Truth, function: str | None) -> tuple[list[dict[str, Array]], str]:
    """Native outputs that set the scale of error: the source's where it is at hand, else the NumPy reference's."""
    if source is None:
        return truth.reference, "numpy reference"
    runner = source_converter(model).source(source, model, function=function)
    return [runner(truth.native_inputs(case)) for case in truth.cases], source_label(model)


def accepted_cases(model: Model, truth: Truth, function: str | None) -> tuple[Truth, list[dict[str, Array]], list[str]]:
    """The cases that the source itself runs on, its outputs there, and a note on the others.

    What the source refuses (an index out of range, a value that the user's code forbids) says nothing of a backend.

    Raises:
        InputError: It refuses them all.
    """
    if model.origin is None:
        return truth, truth.reference, []
    runner = source_converter(model).source(model.origin, model, function=function)
    own: dict[int, dict[str, Array]] = {}
    reason, refused = "", list[str]()
    for number, case in enumerate(truth.cases):
        try:
            own[number] = runner(truth.native_inputs(case))
        except KxchangeError:
            raise
        except Exception as error:  # whatever the user's own code raises
            first = (str(error).strip().splitlines() or [""])[0][:200]
            reason = reason or f"{type(error).__name__}: {first}"
            refused.append(case.label)
    if not own and truth.cases:
        raise InputError(
            f"validate cannot compare anything: the source refuses every case ({reason}). "
            "Give it inputs that it takes: validate(model, inputs=[{name: array}])."
        )
    note = f"{len(refused)} of {len(truth.cases)} cases are left out, which the source refuses ({reason})"
    kept = truth.only(list(own)) if refused else truth
    return kept, list(own.values()), [f"{note}: {', '.join(refused)}"] if refused else []


def source_converter(model: Model) -> Any:
    """The converter of the framework that the model came from."""
    name = model.provenance.get("backend")
    if not isinstance(name, str):
        raise InputError("the model does not say which framework it was captured from, so `source` cannot be run.")
    return converter(name)


def judge_source(
    source: Any, model: Model, truth: Truth, function: str | None, own: Sequence[Mapping[str, Array]]
) -> Row:
    """The row of the captured object itself: its float64 run against the reference shows faults of the capture."""
    row = Row(f"source ({model.provenance['backend']})", weights=Verdict.SAME)
    set_findings(row, "accuracy", judge_accuracy(truth, own, own))
    try:
        runner = source_converter(model).source(source, model, function=function, float64=True)
        wide = [runner(truth.wide_inputs(case)) for case in truth.cases]
        set_findings(row, "function", judge_function(truth, wide))
    except KxchangeError as error:
        row.notes.append(f"function: unverified, {error}")
    return row


def judge_backend(
    name: str, result: Result, truth: Truth, own: Sequence[Mapping[str, Array]], *, requested: bool
) -> Row | None:
    """One backend's row; None for a backend that is not installed and was not asked for by name."""
    if result.missing and not requested:
        return None
    row = Row(name, versions=dict(result.versions))
    if result.error:
        row.notes.append(result.error)
        return row
    row.seconds = {profile: outcome.seconds for profile, outcome in result.outcomes.items()}
    judge_weights(row, result.weights)
    native, wide = result.outcomes[NATIVE], result.outcomes[FLOAT64]
    if explain(row, "accuracy", native, truth):
        set_findings(row, "accuracy", judge_accuracy(truth, native.outputs, own))
    if explain(row, "function", wide, truth):
        set_findings(row, "function", judge_function(truth, wide.outputs))
    return row


def explain(row: Row, question: str, outcome: Outcome, truth: Truth) -> bool:
    """Whether a profile ran; a note if it did not."""
    if outcome.error:
        row.notes.append(f"{question}: unverified, {outcome.error}")
    elif len(outcome.outputs) != len(truth.cases):
        row.notes.append(f"{question}: unverified, {len(outcome.outputs)} of {len(truth.cases)} cases came back")
    else:
        return True
    return False


def judge_weights(row: Row, weights: Mapping[str, str] | None) -> None:
    """Question 1, bit for bit."""
    if weights is None:
        return
    row.weights = Verdict.WRONG if weights else Verdict.SAME
    row.notes += [f"weights: {name!r} {difference}" for name, difference in list(weights.items())[:5]]


def set_findings(row: Row, question: str, findings: list[Finding]) -> None:
    """Record findings and the verdict they give."""
    row.findings[question] = findings
    setattr(row, question, worst(finding.verdict for finding in findings))
    row.notes += notes_of(question, findings)
