"""What a validation found: one row per backend, three verdicts each, and the evidence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from kxchange.errors import MismatchError
from kxchange.validation.coverage import Coverage
from kxchange.validation.judge import Finding
from kxchange.validation.place import Place
from kxchange.validation.verdict import Verdict, worst

SCHEMA = 1
"""Version of the JSON report."""


@dataclass(slots=True)
class Row:
    """One backend.

    Attributes:
        backend: Its name.
        weights: Question 1: are the weights the same?
        function: Question 2: is the function the same, in float64?
        accuracy: Question 3: is it as accurate as the source at its own dtype?
        findings: Evidence per question.
        notes: Why something is not SAME, or worth knowing.
        versions: Versions of the backend's packages.
        seconds: Time of the native and the float64 runs.
        gradients: Are the gradients the same, in float64? None where that was not asked.
        training: Are the parameters the same after some steps of training? None where that was not asked.
        place: Where it parts from the reference, if it does.
        depth: Relative error in its own dtypes of each floating value inside, in topological order, where measured.
    """

    backend: str
    weights: Verdict = Verdict.UNVERIFIED
    function: Verdict = Verdict.UNVERIFIED
    accuracy: Verdict = Verdict.UNVERIFIED
    findings: dict[str, list[Finding]] = field(default_factory=dict[str, list[Finding]])
    notes: list[str] = field(default_factory=list[str])
    versions: dict[str, str] = field(default_factory=dict[str, str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    gradients: Verdict | None = None
    training: Verdict | None = None
    place: Place | None = None
    depth: list[float] = field(default_factory=list[float])

    @property
    def verdict(self) -> Verdict:
        """The row in one word."""
        more = [verdict for verdict in (self.gradients, self.training) if verdict]
        return worst([self.weights, self.function, self.accuracy, *more]) if self.ran else Verdict.UNVERIFIED

    @property
    def ran(self) -> bool:
        """Whether the backend computed anything at all."""
        return {self.function, self.accuracy} != {Verdict.UNVERIFIED}

    @property
    def ratio(self) -> float:
        """Largest error in units of the source's own."""
        return max((finding.ratio for finding in self.findings.get("accuracy", [])), default=0.0)

    @property
    def float64_error(self) -> float:
        """Largest relative RMSE in float64."""
        return max((finding.relative for finding in self.findings.get("function", [])), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """The row as JSON, timings apart."""
        record = asdict(replace(self, place=None))
        return {"verdict": self.verdict.value, **record, "place": self.place.to_json() if self.place else None}


@dataclass(slots=True)
class Report:
    """The outcome of `kxchange.validate`.

    Attributes:
        subject: What was validated, for the title.
        rows: One per backend.
        cases: Labels of the inputs used.
        source: What the source's own error was measured on.
        settings: Seed, counts and dtype, enough to run it again.
        coverage: What the cases can see, where it was measured.
        differences: Of structure and weights, where two models are compared.
    """

    subject: str
    rows: list[Row]
    cases: list[str] = field(default_factory=list[str])
    source: str = "numpy reference"
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    coverage: Coverage | None = None
    differences: list[str] = field(default_factory=list[str])

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The one-word verdict per backend."""
        return {row.backend: row.verdict for row in self.rows}

    @property
    def verdict(self) -> Verdict:
        """The whole report in one word."""
        return worst(self.verdicts.values())

    @property
    def ok(self) -> bool:
        """Whether every backend that was asked for came out SAME."""
        return bool(self.rows) and all(verdict is Verdict.SAME for verdict in self.verdicts.values())

    def raise_if_failed(self) -> None:
        """Raise unless `ok`.

        Raises:
            MismatchError: with the table of verdicts.
        """
        if not self.ok:
            raise MismatchError(f"{self.subject} is not the same everywhere:\n{self}")

    def to_json(self, *, timings: bool = True) -> str:
        """The report as JSON; without timings the same run gives the same text."""
        rows = [row.to_json() for row in self.rows]
        if not timings:
            for row in rows:
                row.pop("seconds")
        return json.dumps(
            {"schema": SCHEMA, "verdict": self.verdict.value, "ok": self.ok, **self._head(), "rows": rows}
        )

    def to_html(self, path: str | PathLike[str]) -> None:
        """Write the report as one page that needs nothing else: see `kxchange.validation.page`."""
        from kxchange.validation.page import write_page

        write_page(self, Path(path))

    def to_junit(self, path: str | PathLike[str]) -> None:
        """Write the report as JUnit XML, one test case per backend and question."""
        from kxchange.validation.junit import write_junit

        write_junit(self, Path(path))

    def evidence(self) -> dict[str, Any]:
        """The record that travels in the `.kx`: verdicts, errors, versions and settings, without arrays or timings."""
        rows = [
            {
                "backend": row.backend,
                "verdict": row.verdict.value,
                "weights": row.weights.value,
                "function": row.function.value,
                "accuracy": row.accuracy.value,
                "ratio": row.ratio,
                "float64_error": row.float64_error,
                "versions": row.versions,
                "notes": row.notes,
                **({"gradients": row.gradients.value} if row.gradients else {}),
                **({"training": row.training.value} if row.training else {}),
                **({"place": f"{row.place.op} {row.place.name}".strip()} if row.place else {}),
            }
            for row in self.rows
        ]
        return {"schema": SCHEMA, **self._head(), "rows": rows}

    def _head(self) -> dict[str, Any]:
        head = {"subject": self.subject, "source": self.source, "cases": self.cases, "settings": self.settings}
        return head | ({"coverage": self.coverage.to_json()} if self.coverage else {})

    @property
    def remarks(self) -> list[str]:
        """What the cases cover, and what they cannot show."""
        return [line for line in (str(self.coverage), *self.coverage.warnings()) if line] if self.coverage else []

    def __str__(self) -> str:
        asked = [name for name in ("gradients", "training") if any(getattr(row, name) for row in self.rows)]
        head = ("backend", "verdict", "weights", "function", "accuracy", "float64", "ratio")
        lines = [(*head, *asked)]
        lines += [(*row_cells(row), *(getattr(row, name) or "-" for name in asked)) for row in self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        notes = [f"{row.backend}: {note}" for row in self.rows for note in row.notes]
        places = [f"{row.backend}: {row.place}" for row in self.rows if row.place]
        return "\n".join([*table, *self.remarks, *notes, *places])

    __repr__ = __str__


def row_cells(row: Row) -> tuple[str, ...]:
    """A row as the words and numbers of the table."""
    # What is WRONG by a shape or a mask has no number to show.
    shown = row.function is not Verdict.UNVERIFIED and (row.function is Verdict.SAME or row.float64_error > 0)
    function = f"{row.float64_error:.1e}" if shown else "-"
    accuracy = f"{row.ratio:.2f}" if row.accuracy is not Verdict.UNVERIFIED else "-"
    return row.backend, row.verdict.value, row.weights.value, row.function.value, row.accuracy.value, function, accuracy


def notes_of(question: str, findings: Sequence[Finding]) -> list[str]:
    """The findings worth a line: failures, and remarks."""
    return [
        f"{question}: output {finding.output!r}: {finding.note}" + (f" [{finding.case}]" if finding.case else "")
        for finding in findings
        if finding.note
    ]
