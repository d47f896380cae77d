"""The folder that repeats a finding: one node, its tensors, and a script that needs no kxchange."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np

from kxchange.converter import converters
from kxchange.errors import KxchangeError, WriteError
from kxchange.model import Model
from kxchange.validation.place import Place

README = """# One node that is wrong

{place}

`op.kx` is the node by itself, `inputs.npz` its operands, `expected.npz` what the float64 reference gives for them, and
`found.npz` what came out. `run.py` compares them and runs the node in the backend's own format, if it is here; it needs
no kxchange. `op.kx` carries the same operands as a recorded sample, so that this repeats the finding:

    {command}
"""
SCRIPT = Path(__file__).with_name("repro_run.txt")


def write_repro(place: Place, folder: Path, *, backend: str = "all") -> list[Path]:
    """Write the node, its tensors and a README into `folder`, which is made if need be.

    Args:
        place: With its `repro`.
        folder: Where to; files of the same names are replaced.
        backend: Named in the command.

    Raises:
        WriteError: there is nothing to repeat, or the folder cannot be written.
    """
    repro = place.repro
    if repro is None:
        raise WriteError(f"the node {place.name or place.op!r} cannot be run by itself, so there is no repro to write.")
    sample = {"function": "main", "inputs": repro.inputs, "outputs": {}}
    models = {"op.kx": repro.model} | ({"other.kx": repro.other} if repro.other else {})
    option = "--against other.kx" if repro.other else f"--backends {backend}"
    arrays = {"inputs.npz": repro.inputs, "expected.npz": repro.expected, "found.npz": repro.found}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, model in models.items():
            model.replace(samples=[sample]).save(folder / name)
        for name, content in arrays.items():
            np.savez(folder / name, **cast("dict[str, Any]", content))
        (folder / "README.md").write_text(README.format(place=place, command=f"kx validate op.kx {option}"))
        (folder / "place.json").write_text(json.dumps(place.to_json(), indent=1))
        (folder / "run.py").write_text(SCRIPT.read_text(encoding="utf-8"))
        own = write_own_format(repro.model, folder, backend)
    except OSError as error:
        raise WriteError(f"cannot write the repro to {str(folder)!r}: {error.strerror}.") from error
    return [folder / name for name in (*models, *arrays, "README.md", "place.json", "run.py", *own)]


def write_own_format(model: Model, folder: Path, backend: str) -> list[str]:
    """The node in the backend's own format, where it has one and can write it; the names of the files."""
    record = converters().get(backend.partition(":")[0])
    if record is None or record.missing or not record.run_file_verb or not record.suffixes:
        return []
    try:
        return [file.name for file in record.save(model, folder / f"op{record.suffixes[0]}")]
    except KxchangeError:
        return []
