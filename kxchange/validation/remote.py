"""A backend in another process, one model and one run at a time: what inner values are fetched through."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from kxchange.converter import Runner, Variant
from kxchange.errors import KxchangeError
from kxchange.model import Array, Model
from kxchange.validation.job import NATIVE, Job
from kxchange.validation.probe import Prepare
from kxchange.validation.processes import run_process


def remote_prepare(backend: str, python: str, timeout: float, variant: Variant | None = None) -> Prepare:
    """Like a converter's `prepare`, but every run is a process, so that a crash is an error.

    Args:
        backend: Name of the converter.
        python: Interpreter.
        timeout: Seconds for one run.
        variant: How the backend is run.
    """
    way = variant or Variant()

    def prepare(model: Model) -> Runner:
        def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
            with tempfile.TemporaryDirectory(prefix="kx-probe-") as folder:
                path = Path(folder) / "model.kx"
                model.save(path)
                job = Job(
                    backend,
                    str(path),
                    options=way.options,
                    profiles=(NATIVE,),
                    weights=False,
                    environment=way.environment,
                )
                result = run_process(job, {NATIVE: [inputs]}, python, timeout)
            outcome = result.outcomes.get(NATIVE)
            if outcome is None or outcome.error:
                raise KxchangeError(f"{backend}: {outcome.error if outcome else result.error}")
            return outcome.outputs[0]

        return run

    return prepare
