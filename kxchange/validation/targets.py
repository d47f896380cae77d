"""Where a model is run for the report: backends, their variants, and the processes they run in."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kxchange.converter import Converter, Variant, converter, converters
from kxchange.errors import InputError
from kxchange.hub import save
from kxchange.model import Array, Model
from kxchange.validation.job import FLOAT64, GRADIENTS, NATIVE, PROFILES, Job, Result
from kxchange.validation.probe import Prepare
from kxchange.validation.processes import TIMEOUT, run_processes
from kxchange.validation.remote import remote_prepare
from kxchange.validation.truth import Truth
from kxchange.validation.worker import run_job


@dataclass(frozen=True, slots=True)
class Target:
    """One row of the report.

    Attributes:
        label: ``onnx`` or ``onnx:unoptimized``.
        backend: Name of the converter.
        variant: How it is run.
    """

    label: str
    backend: str
    variant: Variant

    @property
    def here(self) -> bool:
        """Whether this very process is set up as the variant wants it."""
        return all(os.environ.get(name) == value for name, value in self.variant.environment.items())


@dataclass(frozen=True, slots=True)
class Runs:
    """How targets are run.

    Attributes:
        processes: Each in a process of its own; otherwise all in this one.
        pythons: Interpreter per target or backend.
        timeout: Seconds for one process.
        progress: Called with a target's label when it is done.
    """

    processes: bool = True
    pythons: Mapping[str, str] = field(default_factory=dict[str, str])
    timeout: float = TIMEOUT
    progress: Callable[[str], None] | None = None

    def prepare(self, target: Target) -> Prepare:
        """How a target runs a model: here, or in a process of its own."""
        if not self.processes:
            return lambda model: converter(target.backend).prepare(model, **target.variant.options)
        python = self.pythons.get(target.label) or self.pythons.get(target.backend, sys.executable)
        return remote_prepare(target.backend, python, self.timeout, target.variant)

    def run(
        self,
        model: Model,
        targets: Sequence[Target],
        truth: Truth,
        settings: Mapping[str, Any],
        products: Sequence[Mapping[str, Array]],
    ) -> dict[str, Result]:
        """Every target's outputs on every case, and its gradients on those of `products`."""
        inputs: dict[str, Sequence[Mapping[str, Array]]] = {
            NATIVE: [truth.native_inputs(case) for case in truth.cases],
            FLOAT64: [truth.wide_inputs(case) for case in truth.cases],
            GRADIENTS: products,
        }
        if not self.processes:
            jobs = [make_job(target, "", settings, gradients=bool(products)) for target in targets]
            return {
                target.label: run_job(job, model, inputs) if target.here else Result(error=ELSEWHERE, missing=True)
                for target, job in zip(targets, jobs, strict=True)
            }
        with tempfile.TemporaryDirectory(prefix="kx-model-") as folder:
            path = Path(folder) / "model.kx"
            save(model.replace(samples=()), path)
            jobs = [make_job(target, str(path), settings, gradients=bool(products)) for target in targets]
            return run_processes(
                jobs, inputs, pythons=self.pythons, timeout=self.timeout, progress=self.progress,
                weights=sum(entry.nbytes for entry in model.parameters.values() if entry.alias_of is None),
            )  # fmt: skip


ELSEWHERE = "needs environment variables of its own, so a process of its own"


def make_job(target: Target, path: str, settings: Mapping[str, Any], *, gradients: bool) -> Job:
    """A target's share of the work."""
    wanted = gradients and converter(target.backend).gradients_verb
    return Job(
        target.backend,
        path,
        label=target.label,
        options=target.variant.options,
        environment=target.variant.environment,
        profiles=(*PROFILES, *([GRADIENTS] if wanted else [])),
        **settings,
    )


def choose_targets(backends: str | Sequence[str], *, processes: bool = True) -> list[Target]:
    """The targets asked for: ``all`` are all variants of those backends that can run models, numpy first.

    A backend's name means its first variant; ``onnx:unoptimized`` names another one. Of a backend whose variants want
    environments of their own, ``all`` are those variants, or the first one where there are no processes for them.

    Raises:
        InputError: a backend cannot run models, or has no such variant.
        UnknownConverterError: there is no such backend.
    """
    if backends == "all":
        found = [name for name, record in converters().items() if record.prepare_verb]
        names = sorted(found, key=lambda name: (name != "numpy", name))
        return [make_target(name, variant) for name in names for variant in ways(converter(name), processes)]
    asked = backends.split(",") if isinstance(backends, str) else backends
    return [find_target(name.strip()) for name in asked]


def ways(record: Converter, processes: bool) -> list[Variant]:
    """The variants of a backend that are worth a row each."""
    found = [variant for variant in record.variants if not variant.missing]
    apart = [variant for variant in found if variant.environment]
    if not processes:
        return [variant for variant in found if not variant.environment]
    return apart + [variant for variant in found if not variant.environment and (variant.name or not apart)]


def find_target(text: str) -> Target:
    """The target of ``backend`` or ``backend:variant``."""
    name, _, wanted = text.partition(":")
    record = converter(name)
    if not record.prepare_verb:
        raise InputError(f"{name} cannot run models, so it cannot be validated.")
    for variant in record.variants:
        if variant.name == wanted or not wanted:
            return make_target(name, variant)
    known = ", ".join(f"{name}:{variant.name}".rstrip(":") for variant in record.variants)
    raise InputError(f"{name} has no variant {wanted!r}; it has {known}.")


def make_target(name: str, variant: Variant) -> Target:
    """A backend run in one way."""
    return Target(f"{name}:{variant.name}".rstrip(":"), name, variant)
