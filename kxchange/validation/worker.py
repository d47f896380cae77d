"""Run one backend on all cases, in a process of its own: `python -m kxchange.validation.worker FOLDER`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kxchange.converter import Converter, Runner, converter
from kxchange.errors import KxchangeError, MissingBackendError, UnsupportedOpError
from kxchange.format.integrity import tensor_sha256
from kxchange.format.model_file import load_model
from kxchange.model import Array, Model
from kxchange.passes.retype import retype
from kxchange.types import DType
from kxchange.validation.job import (
    COTANGENT,
    FLOAT64,
    GRADIENTS,
    NATIVE,
    TRAINING,
    Job,
    Outcome,
    Result,
    case_names,
    read_cases,
    write_result,
)


def main(folder: Path) -> None:
    """Read the job, run it, write the result."""
    job = Job.read(folder)
    model = load_model(job.model)
    counts = json.loads((folder / "counts.json").read_text())
    cases = {
        profile: read_cases(
            folder / f"{profile}.cases", case_names(model.function(job.function), profile), counts[profile]
        )
        for profile in job.profiles
    }
    write_result(folder, run_job(job, model, cases))


def run_job(job: Job, model: Model, cases: Mapping[str, Sequence[Mapping[str, Array]]]) -> Result:
    """Run a job on a model that is already open.

    Args:
        job: Backend, function and options.
        model: The model in its own dtypes.
        cases: Inputs per profile.
    """
    try:
        backend = converter(job.backend)
        result = Result(versions=backend.versions())
        if backend.missing:
            raise MissingBackendError(f"{', '.join(backend.missing)} is not installed")
    except MissingBackendError as error:
        return Result(error=str(error), missing=True)
    dtypes = {NATIVE: job.dtype, FLOAT64: DType.FLOAT64.value, GRADIENTS: DType.FLOAT64.value}
    dtypes[TRAINING] = DType.FLOAT64.value
    runs = {GRADIENTS: run_gradients, TRAINING: run_training}
    for profile in job.profiles:
        subject = retype(model, DType(dtypes[profile])) if dtypes[profile] else model
        run = runs.get(profile, run_profile)
        result.outcomes[profile] = run(backend, subject, job, cases[profile])
    result.weights = compare_weights(backend, model) if job.weights else None
    return result


def run_profile(backend: Converter, model: Model, job: Job, cases: Sequence[Mapping[str, Array]]) -> Outcome:
    """Prepare once, run every case; any failure becomes the outcome's error."""
    return run_cases(lambda: backend.prepare(model, function=job.function, **job.options), cases)


def run_gradients(backend: Converter, model: Model, job: Job, cases: Sequence[Mapping[str, Array]]) -> Outcome:
    """The same for vector-Jacobian products."""

    def prepare() -> Runner:
        compute = backend.gradients(model, function=job.function, **job.options)

        def run(case: Mapping[str, Array]) -> dict[str, Array]:
            inputs = {name: array for name, array in case.items() if not name.startswith(COTANGENT)}
            given = {name.removeprefix(COTANGENT): case[name] for name in case if name.startswith(COTANGENT)}
            return compute(inputs, given)

        return run

    return run_cases(prepare, cases)


def run_training(backend: Converter, model: Model, job: Job, cases: Sequence[Mapping[str, Array]]) -> Outcome:
    """Parameters after some steps of training."""
    from kxchange.validation.training import train

    def gradients(current: Model) -> Callable[..., dict[str, Array]]:
        return backend.gradients(current, function=job.function, **job.options)

    return run_cases(lambda: train(model, gradients, **job.training), cases)


def run_cases(prepare: Callable[[], Runner], cases: Sequence[Mapping[str, Array]]) -> Outcome:
    """Outputs of every case, or the error."""
    start = time.perf_counter()
    try:
        runner = prepare()
        outputs = [runner(case) for case in cases]
    except Exception as error:  # a backend may raise anything: it costs its own row only
        unsupported = isinstance(error, UnsupportedOpError)
        text = str(error) if isinstance(error, KxchangeError) else f"{type(error).__name__}: {error}"
        return Outcome(error=text, unsupported=unsupported, seconds=time.perf_counter() - start)
    return Outcome(outputs, seconds=time.perf_counter() - start)


def compare_weights(backend: Converter, model: Model) -> dict[str, str] | None:
    """Bytes of every parameter as the built object holds them, against the model's.

    Returns:
        Parameter name -> what differs; None if the backend has no way to list its weights.
    """
    if not backend.weights_verb:
        return None
    try:
        held = backend.weights(model)
    except UnsupportedOpError:
        return None
    return {
        name: difference
        for name, entry in model.parameters.items()
        if (difference := weight_difference(held.get(name), model.array(entry.name)))
    }


def weight_difference(held: Array | None, right: Array) -> str:
    """What is wrong with a held weight; empty if its bytes, shape and type are right."""
    if held is None:
        return "missing"
    if held.shape != right.shape or held.dtype != right.dtype:
        return f"{held.dtype}{list(held.shape)} where {right.dtype}{list(right.shape)} is right"
    return "" if tensor_sha256(held) == tensor_sha256(right) else "other bytes"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
