"""The report for continuous integration: JUnit XML."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from kxchange.errors import WriteError
from kxchange.validation.report import Report, Row
from kxchange.validation.verdict import Verdict

QUESTIONS = ("weights", "function", "accuracy", "gradients", "training")
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold, not even escaped."""


def write_junit(report: Report, path: Path) -> None:
    """One suite; one case per backend and question: WRONG and SUSPECT fail, UNVERIFIED is skipped.

    Raises:
        WriteError: the file cannot be written.
    """
    suite = ElementTree.Element("testsuite", name=clean(f"kx validate {report.subject}"))
    for row in report.rows:
        for question in QUESTIONS:
            verdict: Verdict | None = getattr(row, question)
            if verdict is not None:
                add_case(suite, row, question, verdict)
    for outcome, tag in (("tests", "testcase"), ("failures", "testcase/failure"), ("skipped", "testcase/skipped")):
        suite.set(outcome, str(len(suite.findall(tag))))
    try:
        ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise WriteError(f"cannot write the report to {str(path)!r}: {error.strerror}.") from error


def add_case(suite: ElementTree.Element, row: Row, question: str, verdict: Verdict) -> None:
    """One question of one backend."""
    case = ElementTree.SubElement(suite, "testcase", classname=clean(row.backend), name=question)
    notes = [note for note in row.notes if note.startswith(question) or ":" not in note]
    if verdict in (Verdict.WRONG, Verdict.SUSPECT):
        failure = ElementTree.SubElement(case, "failure", message=verdict.value)
        failure.text = clean("\n".join([*notes, *([str(row.place)] if row.place else [])]))
    elif verdict is Verdict.UNVERIFIED:
        ElementTree.SubElement(case, "skipped", message=clean("; ".join(notes) or verdict.value))


def clean(text: str) -> str:
    """The text with what XML cannot hold replaced."""
    return FORBIDDEN.sub("\ufffd", text)
