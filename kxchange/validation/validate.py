"""Run a model on every backend and judge it: weights, function, accuracy."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from kxchange.converter import converter, converters
from kxchange.errors import InputError, KxchangeError
from kxchange.hub import load, save
from kxchange.model import Array, Model
from kxchange.validation.cases import make_cases
from kxchange.validation.gradients import gradient_cases, judge_gradients
from kxchange.validation.job import FLOAT64, GRADIENTS, NATIVE, PROFILES, Job, Outcome, Result
from kxchange.validation.judge import Finding, judge_accuracy, judge_function
from kxchange.validation.placing import add_depth, add_place
from kxchange.validation.probe import Prepare
from kxchange.validation.processes import TIMEOUT, run_processes
from kxchange.validation.remote import remote_prepare
from kxchange.validation.report import Report, Row, notes_of
from kxchange.validation.truth import Truth
from kxchange.validation.verdict import Verdict, worst
from kxchange.validation.worker import run_job

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
) -> Report:
    """Prove that a model computes the same on every backend, or show where it does not.

    Where the model still knows the live object it was captured from (`model.origin`), that object's own error sets the
    scale, and its float64 run must agree with the reference.

    Args:
        model: A model or the path of one.
        backends: ``"all"`` installed ones, or names.
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

    Returns:
        The report; `report.ok`, `report.verdicts`, `report.to_json()`.
    """
    subject = model if isinstance(model, Model) else load(model)
    source = subject.origin
    truth = truth or Truth(
        subject, make_cases(subject, count=cases, seed=seed, function=function), function=function, dtype=dtype
    )
    names = backend_names(backends)
    options: dict[str, Any] = {"function": function, "dtype": dtype}
    products = gradient_cases(truth, seed) if gradients else []
    results = run_backends(subject, names, truth, options, processes, pythons, timeout, progress, products)
    own, label = source_outputs(source, subject, truth, function)
    judged = (judge_backend(name, results[name], truth, own, requested=backends != "all") for name in names)
    rows = [row for row in judged if row is not None]
    for row in rows:
        look_inside(row, results[row.backend], truth, runs(row.backend, processes, pythons, timeout), bisect, depth)
    if source is not None:
        rows.insert(0, judge_source(source, subject, truth, function, own))
    if gradients:
        judge_gradients(rows, results, truth, products)
    settings = {"cases": cases, "seed": seed, "dtype": dtype or "native", "function": function or "main"}
    settings |= {"gradients": True} if gradients else {}
    title = str(model) if not isinstance(model, Model) else str(subject.provenance.get("name", "model"))
    return Report(title, rows, [case.label for case in truth.cases], label, settings)


def look_inside(row: Row, result: Result, truth: Truth, prepare: Prepare, bisect: bool, depth: bool) -> None:
    """What needs inner values: the place, and the error by depth."""
    if bisect:
        add_place(row, result, truth, prepare)
    if depth:
        add_depth(row, truth, prepare)


def runs(backend: str, processes: bool, pythons: Mapping[str, str] | None, timeout: float) -> Prepare:
    """How a backend runs a model: here, or in a process of its own."""
    if not processes:
        return converter(backend).prepare
    return remote_prepare(backend, (pythons or {}).get(backend, sys.executable), timeout)


def backend_names(backends: str | Sequence[str]) -> list[str]:
    """The backends asked for, checked; ``all`` are those that can run models, numpy first."""
    if isinstance(backends, str):
        backends = [name.strip() for name in backends.split(",")] if backends != "all" else []
    if not backends:
        found = [name for name, record in converters().items() if record.prepare_verb]
        return sorted(found, key=lambda name: (name != "numpy", name))
    for name in backends:
        if not converter(name).prepare_verb:
            raise InputError(f"{name} cannot run models, so it cannot be validated.")
    return list(backends)


def run_backends(
    model: Model,
    names: Sequence[str],
    truth: Truth,
    options: Mapping[str, Any],
    processes: bool,
    pythons: Mapping[str, str] | None,
    timeout: float,
    progress: Callable[[str], None] | None,
    products: Sequence[Mapping[str, Array]],
) -> dict[str, Result]:
    """Every backend's outputs on every case, and its gradients on those of `products`."""
    inputs: dict[str, Sequence[Mapping[str, Array]]] = {
        NATIVE: [truth.native_inputs(case) for case in truth.cases],
        FLOAT64: [truth.wide_inputs(case) for case in truth.cases],
        GRADIENTS: products,
    }
    asked = {name: (*PROFILES, *([GRADIENTS] if products and converter(name).gradients_verb else [])) for name in names}
    if not processes:
        return {name: run_job(Job(name, "", **options, profiles=asked[name]), model, inputs) for name in names}
    with tempfile.TemporaryDirectory(prefix="kx-model-") as folder:
        path = Path(folder) / "model.kx"
        save(model.replace(samples=()), path)
        jobs = [Job(name, str(path), **options, profiles=asked[name]) for name in names]
        return run_processes(jobs, inputs, pythons=pythons, timeout=timeout, progress=progress)


def source_outputs(source: Any, model: Model, truth: Truth, function: str | None) -> tuple[list[dict[str, Array]], str]:
    """Native outputs that set the scale of error: the source's where it is at hand, else the NumPy reference's."""
    if source is None:
        return truth.reference, "numpy reference"
    runner = source_converter(model).source(source, model, function=function)
    return [runner(truth.native_inputs(case)) for case in truth.cases], f"the {model.provenance['backend']} source"


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
