"""From numbers to verdicts: one backend's outputs against the truth and the source's own error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kxchange.model import Array
from kxchange.types import DType
from kxchange.validation.measure import Distance, as_float, compare_masks, distance, error_decades, is_exact
from kxchange.validation.truth import Truth
from kxchange.validation.verdict import (
    FLOAT64_LIMIT,
    FLOAT64_NOISE,
    MAXIMUM_LIMIT,
    RATIO_LIMIT,
    SMALLEST,
    Verdict,
    judge_ratio,
    worst,
)

TAIL = "so small where it differs that kernels of sigmoid, erf, exp or log round it off: it is as right as they come"
ILL_CONDITIONED = 1e4
"""Relative error, in units of roundoff, from which on what is SAME by the source's own error is said to mean little."""
SMALL = 64
"""Elements below which one case is too few numbers for a ratio: cases are pooled."""


@dataclass(slots=True)
class Finding:
    """The evidence for one verdict on one output.

    Attributes:
        output: Name of the output.
        verdict: What it says.
        relative: Largest relative RMSE against the truth over the cases.
        ratio: Largest RMSE in units of the larger of the source's error and the floor (accuracy only).
        maximum_ratio: The same in max norm.
        note: What is wrong, or worth knowing.
        case: Label of the worst case.
        worst: Index of the worst element there, with value and truth.
        decades: How many elements are off by how much (accuracy only): see `measure.error_decades`.
        left_out: Cases in which nothing can be said, because a matrix is singular to working precision.
    """

    output: str
    verdict: Verdict = Verdict.SAME
    relative: float = 0.0
    ratio: float = 0.0
    maximum_ratio: float = 0.0
    note: str = ""
    case: str = ""
    worst: dict[str, Any] = field(default_factory=dict[str, Any])
    decades: list[int] = field(default_factory=list[int])
    left_out: int = 0

    def count(self, decades: list[int]) -> None:
        """Add the errors of one case."""
        before = self.decades or [0] * len(decades)
        self.decades = [old + new for old, new in zip(before, decades, strict=True)]

    def leave_out(self, reason: str) -> bool:
        """Count a case in which nothing can be said, if there is a reason."""
        self.left_out += bool(reason)
        self.note = self.note or (f"ill-conditioned: {reason}" if reason else "")
        return bool(reason)

    def settle(self, cases: int) -> None:
        """What was left out in every case is not verified."""
        if cases and self.left_out == cases and self.verdict is Verdict.SAME:
            self.verdict = Verdict.UNVERIFIED

    def fail(self, verdict: Verdict, note: str, case: str) -> None:
        """Lower the verdict; the first reason of the worst kind stays."""
        if worst([verdict, self.verdict]) is verdict and verdict is not self.verdict:
            self.verdict, self.note, self.case = verdict, note, case


def judge_function(
    truth: Truth, outputs: Sequence[Mapping[str, Array]], *, native_constants: bool = False
) -> list[Finding]:
    """Question 2: is it the same function? Float64 against float64.

    Args:
        truth: What is right.
        outputs: In float64, per case.
        native_constants: The outputs come of a format that rounds scalars (an epsilon, the 1/sqrt(2) of a gelu) to the
            model's own dtype: what moving weights and inputs by half an ULP does as well is allowed.
    """
    findings = [Finding(name) for name in truth.outputs[0]] if truth.outputs else []
    for number, (found, right) in enumerate(zip(outputs, truth.outputs, strict=True)):
        label = truth.cases[number].label
        for finding in findings:
            array = found.get(finding.output)
            judge_float64(finding, truth, number, array, right[finding.output], label, native_constants)
    for finding in findings:
        finding.settle(len(outputs))
    return findings


def judge_float64(
    finding: Finding, truth: Truth, number: int, found: Array | None, right: Array, label: str, rounded: bool
) -> None:
    """One output of one case in float64."""
    if found is None:
        return finding.fail(Verdict.WRONG, "the output is missing", label)
    gap = distance(found, right)
    if gap.structure:
        return finding.fail(Verdict.WRONG, gap.structure, label)
    if gap.masks:
        excused = finding.leave_out(truth.singular(number, float64=True))
        return None if excused else finding.fail(Verdict.WRONG, gap.masks, label)
    if is_exact(right):
        return judge_exact(finding, truth, number, found, right, label, truth.scores)
    if gap.relative >= finding.relative:
        finding.relative = gap.relative
        finding.worst = worst_element(gap)
    if gap.relative <= FLOAT64_LIMIT or gap.rmse <= SMALLEST[DType.FLOAT64]:
        return None
    if rounded and gap.rmse <= truth.floor(number)[finding.output][0]:
        finding.note = finding.note or "as far as its constants, which are rounded to the model's dtype, can tell"
        return None
    floor = truth.floor(number, float64=True)[finding.output][0]
    if gap.rmse <= FLOAT64_NOISE * floor:
        finding.note = finding.note or "ill-conditioned: an ULP of the weights and inputs moves it as much"
    elif gap.rmse <= FLOAT64_NOISE * truth.floor(number, float64=True, tails=True)[finding.output][0]:
        finding.note = finding.note or TAIL
    elif not finding.leave_out(truth.singular(number, float64=True)):
        limit = max(FLOAT64_LIMIT, FLOAT64_NOISE * floor / (gap.scale or 1.0))
        finding.fail(Verdict.WRONG, f"relative RMSE {gap.relative:.1e} in float64 (limit {limit:.0e})", label)
    return None


def judge_accuracy(
    truth: Truth, outputs: Sequence[Mapping[str, Array]], source: Sequence[Mapping[str, Array]]
) -> list[Finding]:
    """Question 3: is it as accurate as the source at its own dtype?"""
    return [judge_output(name, truth, outputs, source) for name in (truth.outputs[0] if truth.outputs else ())]


def judge_output(
    name: str, truth: Truth, outputs: Sequence[Mapping[str, Array]], source: Sequence[Mapping[str, Array]]
) -> Finding:
    """One output over all cases."""
    finding = Finding(name)
    pooled: list[tuple[float, float]] = []
    count = 0
    for number, (found, right) in enumerate(zip(outputs, (case[name] for case in truth.outputs), strict=True)):
        ratios = judge_case(finding, truth, number, found.get(name), right, source[number].get(name))
        if ratios is None:
            continue
        if right.size < SMALL:
            pooled.append(ratios)
            count += right.size
        else:
            note_ratios(finding, ratios, truth.cases[number].label, distance(found[name], right))
    if pooled:
        rms = math.sqrt(sum(ratio * ratio for ratio, _ in pooled) / len(pooled))
        note_ratios(finding, (rms, max(m for _, m in pooled)), f"{len(pooled)} cases pooled", None, few=count < SMALL)
    finding.settle(len(outputs))
    return finding


def judge_case(
    finding: Finding, truth: Truth, number: int, found: Array | None, right: Array, source: Array | None
) -> tuple[float, float] | None:
    """One output of one case in the model's own dtype: its ratios, or None where it is judged already."""
    label = truth.cases[number].label
    if found is None or source is None:
        return finding.fail(Verdict.WRONG, "the output is missing", label)
    gap = distance(found, right)
    if gap.structure:
        return finding.fail(Verdict.WRONG, gap.structure, label)
    if is_exact(right):
        return judge_exact(finding, truth, number, found, right, label, truth.native_scores)
    if gap.masks and not judge_masks(finding, found, source, gap):
        return None if finding.leave_out(truth.singular(number)) else finding.fail(Verdict.WRONG, gap.masks, label)
    ratio, maximum, tail = error_ratios(truth, number, finding.output, gap, distance(source, right))
    if (ratio > RATIO_LIMIT or maximum > MAXIMUM_LIMIT) and finding.leave_out(truth.singular(number)):
        return None
    finding.note = finding.note or (TAIL if tail else "")
    if gap.relative > ILL_CONDITIONED * truth.unit and gap.rmse > truth.smallest:
        finding.note = finding.note or f"ill-conditioned: rounding alone moves it by {gap.relative:.0e} of its size"
    finding.relative = max(finding.relative, gap.relative)
    finding.count(error_decades(found, right))
    return ratio, maximum


def judge_masks(finding: Finding, found: Array, source: Array, gap: Distance) -> bool:
    """NaN and infinities that the truth lacks: the source's own instability, or the backend's fault."""
    if compare_masks(as_float(found), as_float(source)):
        return False
    finding.note = finding.note or f"source-unstable: {gap.masks}, in the source too"
    return True


def error_ratios(truth: Truth, number: int, name: str, gap: Distance, own: Distance) -> tuple[float, float, bool]:
    """A backend's RMSE and maximum error in units of what the source or the floor has, and whether tails explain it.

    The intrinsic floor costs evaluations and is drawn only where the cheaper bounds do not already clear the case.
    """
    allowed = max(own.rmse, truth.unit * gap.scale, truth.smallest)
    allowed_maximum = max(own.maximum, truth.unit * gap.peak, truth.smallest)
    explained = False
    for tails in (False, True):
        if gap.rmse <= RATIO_LIMIT * allowed and gap.maximum <= MAXIMUM_LIMIT * allowed_maximum:
            break
        rmse, maximum = truth.floor(number, tails=tails)[name]
        allowed, allowed_maximum = max(allowed, rmse), max(allowed_maximum, maximum)
        explained = tails
    return divide(gap.rmse, allowed), divide(gap.maximum, allowed_maximum), explained


def divide(error: float, allowed: float) -> float:
    """`error / allowed`, with 0 over 0 as 0."""
    if error == 0.0:
        return 0.0
    return error / allowed if allowed else math.inf


def note_ratios(
    finding: Finding, ratios: tuple[float, float], label: str, gap: Distance | None, *, few: bool = False
) -> None:
    """Keep the largest ratios and judge them."""
    ratio, maximum = ratios
    if ratio >= finding.ratio and gap is not None:
        finding.worst = worst_element(gap)
    finding.ratio, finding.maximum_ratio = max(finding.ratio, ratio), max(finding.maximum_ratio, maximum)
    verdict = judge_ratio(ratio, maximum, few=few)
    if verdict is not Verdict.SAME:
        limit = f"limit {MAXIMUM_LIMIT if few else RATIO_LIMIT:g}"
        text = f"error is {ratio:.1f} x the source's own ({limit}), {maximum:.1f} x in max norm ({MAXIMUM_LIMIT:g})"
        finding.fail(verdict, text, label)


def judge_exact(
    finding: Finding,
    truth: Truth,
    number: int,
    found: Array,
    right: Array,
    label: str,
    scores: Sequence[Mapping[str, Array]],
) -> None:
    """Integers and bools: equal, or ranks whose scores differ by less than the noise."""
    differing = int(np.count_nonzero(found.astype(right.dtype) != right))
    if not differing:
        return
    name = finding.output
    if name in truth.rankings and is_tie(truth, number, name, found, right):
        finding.note = finding.note or f"tie-within-noise at {differing} of {right.size} positions"
        return
    if hangs_on_rounding(truth.drawn(number, float64=scores is truth.scores), name, found, right):
        finding.note = finding.note or f"within noise: {differing} of {right.size} positions hang on rounding"
        return
    finding.fail(Verdict.WRONG, f"{differing} of {right.size} elements differ", label)


def hangs_on_rounding(draws: Sequence[Mapping[str, Array]], name: str, found: Array, right: Array) -> bool:
    """Whether every element that differs is one that the reference gives, too, when all is moved by a few ULP."""
    explained = found == right
    for outputs in draws:
        if outputs[name].shape == found.shape:
            explained |= found == outputs[name]
    return bool(np.all(explained))


def is_tie(truth: Truth, number: int, name: str, found: Array, right: Array) -> bool:
    """Whether the ranked scores differ by no more than twice the scores' own native error."""
    scores, native = truth.scores[number][name], truth.native_scores[number][name].astype(np.float64)
    axis = truth.rankings[name].axis
    if found.ndim == scores.ndim - 1:
        found, right = np.expand_dims(found, axis), np.expand_dims(right, axis)
    if found.min(initial=0) < 0 or found.max(initial=0) >= scores.shape[axis]:
        return False
    gap = np.abs(np.take_along_axis(scores, found, axis) - np.take_along_axis(scores, right, axis))
    noise = max(
        float(np.max(np.abs(native - scores), initial=0.0)), truth.unit * float(np.max(np.abs(scores), initial=0.0))
    )
    return bool(np.all(gap <= 2 * MAXIMUM_LIMIT * noise))


def worst_element(gap: Distance) -> dict[str, Any]:
    """Index, value and truth of the largest difference."""
    return {"index": list(gap.worst), "value": gap.values[0], "truth": gap.values[1]} if gap.values else {}
