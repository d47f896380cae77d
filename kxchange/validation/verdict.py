"""The one-word verdicts and the limits they stand on."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from kxchange.types import DType


class Verdict(StrEnum):
    """What the evidence says of one question."""

    SAME = "SAME"
    SUSPECT = "SUSPECT"
    WRONG = "WRONG"
    UNVERIFIED = "UNVERIFIED"


FLOAT64_LIMIT: Final = 1e-12
"""Largest relative RMSE between two float64 runs of one function."""
RATIO_LIMIT: Final = 3.0
"""How much larger than the source's own error (or the floor) a backend's RMSE may be."""
RATIO_WRONG: Final = 10.0
"""From here on an excess is no longer a question."""
MAXIMUM_LIMIT: Final = 8.0
"""The same in max norm, where single elements weigh more."""
FLOAT64_NOISE: Final = 100.0
"""How many times the float64 error that an ULP of the weights and inputs makes is still noise."""

UNIT_ROUNDOFF: Final = {
    DType.FLOAT64: 2.0**-53,
    DType.FLOAT32: 2.0**-24,
    DType.FLOAT16: 2.0**-11,
    DType.BFLOAT16: 2.0**-8,
    DType.COMPLEX64: 2.0**-24,
    DType.COMPLEX128: 2.0**-53,
}
"""Half the distance from 1 to the next number."""

SMALLEST: Final = {
    DType.FLOAT64: 2.0**-1022,
    DType.FLOAT32: 2.0**-126,
    DType.FLOAT16: 2.0**-24,
    DType.BFLOAT16: 2.0**-126,
    DType.COMPLEX64: 2.0**-126,
    DType.COMPLEX128: 2.0**-1022,
}
"""Absolute error that underflow alone explains: the smallest normal number, because backends may flush what is below.

Float16 is not flushed by any processor's mode, and its small numbers matter (probabilities): its smallest subnormal.
"""

_ORDER = (Verdict.WRONG, Verdict.SUSPECT, Verdict.SAME, Verdict.UNVERIFIED)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that decides: WRONG before SUSPECT before SAME; UNVERIFIED only where nothing else is known."""
    found = set(verdicts)
    return next((verdict for verdict in _ORDER if verdict in found), Verdict.UNVERIFIED)


def judge_ratio(ratio: float, maximum_ratio: float, *, few: bool = False) -> Verdict:
    """The verdict on a backend's error in units of what is allowed to the source.

    Args:
        ratio: In RMSE.
        maximum_ratio: In max norm.
        few: Whether so few numbers stand behind it that their RMSE is as uncertain as a single error.
    """
    if not (ratio == ratio and maximum_ratio == maximum_ratio):
        return Verdict.WRONG
    if ratio <= (MAXIMUM_LIMIT if few else RATIO_LIMIT) and maximum_ratio <= MAXIMUM_LIMIT:
        return Verdict.SAME
    return Verdict.SUSPECT if ratio <= RATIO_WRONG and maximum_ratio <= MAXIMUM_LIMIT * 3 else Verdict.WRONG
