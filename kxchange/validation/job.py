"""What passes between the report and a worker process: a model file, numbered arrays, and a result per profile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kxchange.format.reader import TensorFile
from kxchange.format.writer import write_tensor_file
from kxchange.model import Array, Function

NATIVE = "native"
FLOAT64 = "float64"
GRADIENTS = "gradients"
PROFILES = (NATIVE, FLOAT64)
"""The model in its own dtypes, and the same model with every float in float64; gradients are an extra, in float64."""
COTANGENT = "cotangent "
"""What the names of cotangents begin with among the arrays of a gradient case."""


@dataclass(frozen=True, slots=True)
class Job:
    """One backend's share of a validation.

    Attributes:
        backend: Name of the converter.
        model: Path of the `.kx` file.
        function: Entry point; None for the main one.
        options: Passed to the converter's `prepare`.
        dtype: Floating type of the native profile; empty for the model's own.
        profiles: Which profiles to run.
        weights: Whether to compare the weights too.
        label: Of the row in the report.
        environment: Variables of the process.
    """

    backend: str
    model: str
    function: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    dtype: str = ""
    profiles: Sequence[str] = PROFILES
    weights: bool = True
    label: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def write(self, folder: Path) -> None:
        """Store the job in its folder."""
        (folder / "job.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Job:
        """The job of a folder."""
        return cls(**json.loads((folder / "job.json").read_text()))


@dataclass(slots=True)
class Outcome:
    """What a backend did with one profile.

    Attributes:
        outputs: Per case: arrays by output name; empty where it failed.
        error: Why it could not run, in one message; empty if it ran.
        unsupported: Whether the backend said so itself (an op or dtype it lacks) rather than failing.
        seconds: Time to prepare and to run all cases, in seconds.
    """

    outputs: list[dict[str, Array]] = field(default_factory=list[dict[str, Array]])
    error: str = ""
    unsupported: bool = False
    seconds: float = 0.0


@dataclass(slots=True)
class Result:
    """Everything one worker found.

    Attributes:
        outcomes: By profile.
        weights: Parameters whose bytes are not the model's, with what differs; None if the backend could not say.
        versions: Versions of the backend's packages.
        error: Why there is no result at all (a crash, a missing package, a time-out).
        missing: Whether the backend is not installed.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    weights: dict[str, str] | None = None
    versions: dict[str, str] = field(default_factory=dict[str, str])
    error: str = ""
    missing: bool = False


def case_names(entry: Function, profile: str) -> list[str]:
    """Names of the arrays of a case: the inputs, and for gradients a cotangent per floating output."""
    cotangents = [COTANGENT + name for name, type in entry.output_types.items() if type.dtype.is_floating]
    return [*entry.input_names, *(cotangents if profile == GRADIENTS else [])]


def write_cases(path: Path, cases: Sequence[Mapping[str, Array]]) -> None:
    """Store one dict of arrays per case; names stay outside, since they may be anything."""
    tensors = {f"{n}.{i}": array for n, case in enumerate(cases) for i, array in enumerate(case.values())}
    write_tensor_file(path, tensors)


def read_cases(path: Path, names: Sequence[str], count: int) -> list[dict[str, Array]]:
    """The cases of a file, with the names in order."""
    with TensorFile.open(path, strict=False) as file:
        return [{name: file.tensor(f"{n}.{i}") for i, name in enumerate(names)} for n in range(count)]


def write_result(folder: Path, result: Result) -> None:
    """Store a worker's result: arrays in tensor files, the rest as JSON."""
    record = asdict(result)
    for profile, outcome in result.outcomes.items():
        write_cases(folder / f"{profile}.safetensors", outcome.outputs)
        names = list(outcome.outputs[0]) if outcome.outputs else []
        record["outcomes"][profile]["outputs"] = {"names": names, "count": len(outcome.outputs)}
    (folder / "result.json").write_text(json.dumps(record))


def read_result(folder: Path) -> Result:
    """What `write_result` stored."""
    record = json.loads((folder / "result.json").read_text())
    outcomes: dict[str, Outcome] = {}
    for profile, outcome in record.pop("outcomes").items():
        outputs = outcome.pop("outputs")
        arrays = read_cases(folder / f"{profile}.safetensors", outputs["names"], outputs["count"])
        outcomes[profile] = Outcome(arrays, **outcome)
    return Result(outcomes, **record)
