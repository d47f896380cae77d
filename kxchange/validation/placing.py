"""From a row that is not SAME to its place: which profile, which case, which node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kxchange.converter import converter
from kxchange.errors import KxchangeError
from kxchange.model import Array, Model
from kxchange.passes.retype import retype
from kxchange.types import DType
from kxchange.validation.bisect import error_by_depth, find_place
from kxchange.validation.job import FLOAT64, NATIVE, Result
from kxchange.validation.measure import distance
from kxchange.validation.probe import Prepare
from kxchange.validation.report import Row
from kxchange.validation.search import Search, parts
from kxchange.validation.truth import Truth
from kxchange.validation.verdict import SMALLEST, UNIT_ROUNDOFF, Verdict

DOUBTED = (Verdict.WRONG, Verdict.SUSPECT)
CASES = 3
"""Cases searched where the one with the largest error shows no place: inner values may all be equal there."""


def add_place(row: Row, result: Result, truth: Truth, prepare: Prepare, other: Model | None = None) -> None:
    """Find where a doubted row parts from the reference; a note where that fails.

    Args:
        row: Gets the place.
        result: What the backend gave on every case.
        truth: The reference.
        prepare: Runs models on the backend.
        other: The other model, where not the backend is in question but a model.
    """
    profile = FLOAT64 if row.function in DOUBTED else NATIVE if row.accuracy in DOUBTED else ""
    if not profile:
        return
    search = number = None
    try:
        for number in worst_cases(truth, result.outcomes[profile].outputs)[:CASES]:
            search = make_search(truth, profile, number, prepare, other)
            row.place = find_place(search)
            if row.place is not None:
                break
    except KxchangeError as error:
        row.notes.append(f"place: not found, {error}")
        return
    if row.place is None or search is None or number is None:
        row.notes.append(f"place: no inner value differs in {profile} by more than rounding explains")
        return
    outputs = result.outcomes[profile].outputs[number]
    row.place.confirmed = any(
        name not in outputs or parts(outputs[name], right, truth.reference[number][name], search)
        for name, right in truth.outputs[number].items()
    )


def add_depth(row: Row, truth: Truth, prepare: Prepare) -> None:
    """Measure how a backend's error in its own dtypes grows through the model, on the first case."""
    if not row.ran:
        return
    try:
        row.depth = error_by_depth(make_search(truth, NATIVE, 0, prepare, None))
    except KxchangeError as error:
        row.notes.append(f"error by depth: not measured, {error}")


def make_search(truth: Truth, profile: str, number: int, prepare: Prepare, other: Model | None) -> Search:
    """The two sides in a profile, on one case."""
    wide = retype(truth.model, DType.FLOAT64)
    case = truth.cases[number]
    if profile == FLOAT64:
        there = wide if other is None else retype(other, DType.FLOAT64)
        inputs, unit = truth.wide_inputs(case), UNIT_ROUNDOFF[DType.FLOAT64]
        smallest = SMALLEST[DType.FLOAT64]
    else:
        there = truth.native if other is None else other
        inputs, unit, smallest = truth.native_inputs(case), truth.unit, truth.smallest
    reference = converter("numpy").prepare
    name, same = truth.function_name, other is None
    narrow = None if profile == FLOAT64 else truth.native
    return Search(wide, there, prepare, reference, inputs, name, unit, case.label, same, smallest, narrow)


def worst_cases(truth: Truth, outputs: Sequence[Mapping[str, Array]]) -> list[int]:
    """The cases from the largest relative error down; one with a wrong shape or mask before any other."""
    errors = [
        max((error_of(found, right) for found, right in pair_outputs(case, truth.outputs[number])), default=0.0)
        for number, case in enumerate(outputs)
    ]
    return sorted(range(len(errors)), key=errors.__getitem__, reverse=True)


def pair_outputs(case: Mapping[str, Array], right: Mapping[str, Array]) -> list[tuple[Array, Array]]:
    """Found and right, for every output that is there."""
    return [(case[name], array) for name, array in right.items() if name in case]


def error_of(found: Array, right: Array) -> float:
    """Relative RMSE, or infinity where there is none."""
    gap = distance(found, right)
    return math.inf if gap.structure or gap.masks else gap.relative
