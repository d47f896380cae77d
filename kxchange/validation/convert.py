"""Load, save and validate in one call; nothing is left behind that did not come out right."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from kxchange.hub import is_kx_target, load, save, saver
from kxchange.model import Model
from kxchange.validation.report import Report
from kxchange.validation.validate import validate


@dataclass(slots=True)
class Conversion:
    """What `convert` did.

    Attributes:
        source: Where the model came from.
        files: What was written.
        report: The evidence; None with ``validate=False``.
        model: The model itself.
    """

    source: str
    files: list[Path]
    report: Report | None
    model: Model = field(repr=False)

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
    load_options: dict[str, Any] | None = None,
    **options: Any,
) -> Conversion:
    """Load a model, write it in another format, and prove that what was written is the same model.

    Args:
        source: A path, or a model.
        target: The file or folder to write; its suffix says the format.
        to: The format, where the suffix does not.
        validate_after: Validate by default: the source's model, the target's backend, and what was read back.
        load_options: Passed to the source's reader.
        options: Passed to the target's writer.

    Returns:
        Files and report. The evidence is also stored in the target if that is a `.kx`.
    """
    model = source if isinstance(source, Model) else load(source, **(load_options or {}))
    path = Path(target)
    is_kx = is_kx_target(path, to)
    report = prove(model, path, to, is_kx) if validate_after else None
    if report is not None and is_kx:
        model.evidence = [report.evidence()]
    files = save(model, path, to=to, **options)
    return Conversion(str(source) if not isinstance(source, Model) else "model", files, report, model)


def prove(model: Model, path: Path, to: str | None, is_kx: bool) -> Report:
    """Validate on the reference and on the target's backend; for `.kx`, on every backend installed."""
    if is_kx:
        return validate(model, backends="all")
    target = saver(path, to)
    names = ["numpy"] + ([target.name] if target.prepare_verb and target.name != "numpy" else [])
    return validate(model, backends=names)
