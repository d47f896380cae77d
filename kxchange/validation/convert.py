"""Load, save, read back and validate in one call; nothing is left behind that did not come out right."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from kxchange.errors import KxchangeError, WriteError
from kxchange.format.atomic import move_into_place
from kxchange.hub import is_kx_target, load, recognise, save, saver
from kxchange.model import Model
from kxchange.validation.cases import make_cases
from kxchange.validation.read_back import read_back
from kxchange.validation.report import Report
from kxchange.validation.truth import Truth
from kxchange.validation.validate import CASES, source_outputs, validate
from kxchange.validation.verdict import Verdict


@dataclass(slots=True)
class Conversion:
    """What `convert` did.

    Attributes:
        source: Where the model came from.
        files: What was written; empty where the result was found WRONG, and then nothing was.
        report: The evidence; None with ``validate_after=False``.
        model: The model itself.
        read_back: Whether the written file itself was read back and judged.
        back: What was read back; None where nothing was.
    """

    source: str
    files: list[Path]
    report: Report | None
    model: Model = field(repr=False)
    read_back: bool = False
    back: Model | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the evidence says SAME; True where none was asked for."""
        return self.report is None or self.report.ok


def convert(
    source: str | PathLike[str] | Model,
    target: str | PathLike[str],
    *,
    to: str | None = None,
    validate_after: bool = True,
    cases: int = CASES,
    seed: int = 0,
    load_options: dict[str, Any] | None = None,
    **options: Any,
) -> Conversion:
    """Load a model, write it in another format, and prove that what was written is the same model.

    The files get their names only when they are complete and, by default, read back and not WRONG.

    Args:
        source: A path, or a model.
        target: The file or folder to write; its suffix says the format.
        to: The format, where the suffix does not.
        validate_after: Validate by default: the model on the target's backend, and the file that was written.
        cases: Generated input cases.
        seed: Of the cases.
        load_options: Passed to the source's reader.
        options: Passed to the target's writer.

    Returns:
        Files and report. The evidence is also stored in the target if that is a `.kx`.

    Raises:
        WriteError: the target cannot be written; nothing is left behind.
        UnsupportedOpError: the target lacks ops of the model.
    """
    model = source if isinstance(source, Model) else load(source, **(load_options or {}))
    path, title = Path(target), "model" if isinstance(source, Model) else str(source)
    is_kx = is_kx_target(path, to)
    if not is_kx:
        saver(path, to)  # an unknown format is said before any work
    fresh = make_staging(path)
    try:
        if not validate_after:
            files = save(model, fresh / path.name, to=to, **options)
            return Conversion(title, publish(fresh, path, files), None, model)
        function = options.get("function")
        truth = Truth(model, make_cases(model, count=cases, seed=seed, function=function), function=function)
        settings: dict[str, Any] = {"cases": cases, "seed": seed, "function": function, "truth": truth}
        files = [] if is_kx else save(model, fresh / path.name, to=to, **options)  # blockers show before long work
        report = validate(model, backends="all" if is_kx else target_backends(path, to), **settings)
        if is_kx:
            model.evidence = [report.evidence()]
            files = save(model, fresh / path.name, to=to, **options)
        own = source_outputs(model.origin, model, truth, function)[0]
        opened: list[Model] = []
        row = read_back(model, main_file(fresh, path, files), truth, own, opened.append)
        report.rows += [row] if row is not None else []
        written = [] if report.verdict is Verdict.WRONG else publish(fresh, path, files)
        return Conversion(title, written, report, model, row is not None, opened[0] if opened else None)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def target_backends(path: Path, to: str | None) -> list[str]:
    """The reference, and the target's own backend where it runs models."""
    target = saver(path, to)
    return ["numpy"] + ([target.name] if target.prepare_verb and target.name != "numpy" else [])


def make_staging(path: Path) -> Path:
    """A new hidden folder beside the target, in which the files have their final names.

    Raises:
        WriteError: there is no such place.
    """
    folder = Path(os.path.abspath(path)).parent
    if not folder.is_dir():
        raise WriteError(f"Cannot write {path.name}: the folder {folder.name!r} does not exist.")
    if path.is_symlink():
        raise WriteError(f"Cannot write {path.name}: it is a symbolic link. Write to the file that it points to.")
    fresh = folder / f".kx-{secrets.token_hex(8)}.tmp"
    try:
        fresh.mkdir()
    except OSError as error:
        raise WriteError(f"Cannot write {path.name}: {error.strerror}.") from error
    return fresh


def publish(fresh: Path, path: Path, files: Sequence[Path]) -> list[Path]:
    """Move what was written beside the target, its own name last, and say where it is now.

    Raises:
        WriteError: something that is no such model stands there; it is intact.
    """
    folder = Path(os.path.abspath(path)).parent
    last = main_file(fresh, path, files).name
    entries = sorted(fresh.iterdir(), key=lambda entry: (entry.name == last, entry.name))
    for entry in entries:
        refuse_other_folder(entry, folder / entry.name)
    for entry in entries:
        move_into_place(entry, folder / entry.name)
    return [path.parent / file.relative_to(fresh) for file in map(Path, files)]


def main_file(fresh: Path, path: Path, files: Sequence[Path]) -> Path:
    """What is opened: the target itself, or the index of shards."""
    return fresh / path.name if (fresh / path.name).exists() else Path(files[0])


def refuse_other_folder(fresh: Path, target: Path) -> None:
    """A folder is replaced only where it is empty, or a model of the same format."""
    if not (fresh.is_dir() and target.is_dir() and any(target.iterdir())):
        return
    try:
        if recognise(target) is recognise(fresh):
            return
    except KxchangeError:
        pass
    raise WriteError(f"{target.name} exists and is no such model: it will not be replaced. Name another one.")
