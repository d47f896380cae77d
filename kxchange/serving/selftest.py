"""The proof behind `ready`: what will answer is compared with the reference, on recorded samples or seeded inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kxchange.model import Array, Model
from kxchange.validation.cases import Case, feasible_sizes, generate_case, make_cases
from kxchange.validation.judge import Finding, judge_accuracy
from kxchange.validation.roles import input_roles
from kxchange.validation.truth import Truth
from kxchange.validation.verdict import Verdict, worst

SEEDED = 2
"""Generated cases, of two sizes and scales."""
SEED = 0

Run = Callable[[Sequence[Array]], list[Array]]


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the self-test found.

    Attributes:
        verdict: SAME, or why the model is not ready.
        cases: What was run.
        findings: Evidence per output.
        examples: Inputs that were run, for warming up and measuring.
    """

    verdict: Verdict
    cases: list[str]
    findings: list[dict[str, Any]]
    examples: list[list[Array]] = field(default_factory=list[list[Array]])

    def to_json(self) -> dict[str, Any]:
        """For the page and the logs."""
        return {"verdict": self.verdict.value, "cases": self.cases, "outputs": self.findings}

    @property
    def reason(self) -> str:
        """The first finding that decided."""
        decisive = [f"{f['output']}: {f['note']}" for f in self.findings if f["verdict"] == self.verdict.value]
        return next(iter(decisive), "nothing could be compared")


def self_test(model: Model, run: Run, *, cases: int = SEEDED) -> SelfTest:
    """Run a session and the reference on the same inputs, and judge as validation does.

    Recorded outputs are judged too: a file whose weights changed after the recording no longer gives them.

    Args:
        model: What the session should compute.
        run: The session: inputs in order in, all outputs in order out.
        cases: Generated cases, where the file has no recorded samples.
    """
    drawn = make_cases(model, count=0 if model.samples else cases, seed=SEED)
    drawn = drawn or make_cases(model, count=cases, seed=SEED)
    truth = Truth(model, drawn)
    names = model.output_names
    examples = [[case.inputs[name] for name in model.input_names] for case in drawn]
    found = [dict(zip(names, run(arrays), strict=True)) for arrays in examples]
    findings = judge_accuracy(truth, found, truth.reference)
    if any(case.expected for case in drawn):
        findings += judge_recorded(truth, found, drawn)
    verdict = worst(finding.verdict for finding in findings)
    return SelfTest(verdict, [case.label for case in drawn], [shown(finding) for finding in findings], examples)


def judge_recorded(truth: Truth, found: Sequence[Mapping[str, Array]], cases: Sequence[Case]) -> list[Finding]:
    """The recorded outputs against the truth; what a record lacks is taken from the session."""
    recorded = [{**own, **dict(case.expected or {})} for own, case in zip(found, cases, strict=True)]
    findings = judge_accuracy(truth, recorded, truth.reference)
    for finding in findings:
        finding.output = f"{finding.output} (recorded)"
        # The record shows the error of another runtime, which is not on trial here: only another function counts.
        if finding.verdict is Verdict.SUSPECT:
            finding.verdict = Verdict.SAME
    return findings


def shown(finding: Finding) -> dict[str, Any]:
    """A finding as JSON."""
    return {
        "output": finding.output,
        "verdict": finding.verdict.value,
        "relative": finding.relative,
        "ratio": finding.ratio,
        "note": finding.note,
        "case": finding.case,
    }


def batch_cases(model: Model, symbol: str, sizes: Sequence[int]) -> list[Case]:
    """One generated case per batch size, all other sizes equal."""
    entry = model.main
    roles = input_roles(entry, model.parameters)
    fitting = feasible_sizes(model, entry)
    base = dict(fitting[0]) if fitting else {}
    return [
        generate_case(entry, roles, base | {symbol: size}, 1.0, (SEED, number)) for number, size in enumerate(sizes)
    ]
