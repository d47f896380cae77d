"""Distances between arrays: norms over finite positions, masks of NaN and infinities apart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kxchange.model import Array


@dataclass(frozen=True, slots=True)
class Distance:
    """How far one array is from another.

    Attributes:
        structure: Empty if shapes agree; otherwise what differs.
        masks: Empty if NaN, +Inf and -Inf stand at the same places; otherwise what differs.
        rmse: Root mean square difference over finite positions, in units of the output.
        maximum: Largest absolute difference.
        scale: Root mean square of the truth.
        peak: Largest absolute value of the truth.
        worst: Index of the largest difference.
        values: Value and truth there.
        mismatches: For exact types: elements that differ.
    """

    structure: str = ""
    masks: str = ""
    rmse: float = 0.0
    maximum: float = 0.0
    scale: float = 0.0
    peak: float = 0.0
    worst: tuple[int, ...] = ()
    values: tuple[float, float] | tuple[()] = ()
    mismatches: int = 0

    @property
    def relative(self) -> float:
        """RMSE over the truth's RMS; the RMSE itself where the truth is all zero."""
        return self.rmse / self.scale if self.scale else self.rmse

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON."""
        return asdict(self) | {"relative": self.relative}


def distance(value: Array, truth: Array) -> Distance:
    """Compare an array with the truth, both of any dtype; floats in float64 (complex: as pairs).

    Exact types (integers, bools) count mismatches; their RMSE is that of the values.
    """
    if value.shape != truth.shape:
        return Distance(structure=f"shape {list(value.shape)} where {list(truth.shape)} is right")
    if is_exact(truth) != is_exact(value):
        return Distance(structure=f"dtype {value.dtype} where {truth.dtype} is right")
    exact = is_exact(truth)
    mismatches = int(np.count_nonzero(value != truth)) if exact else 0
    a, b = as_float(value), as_float(truth)
    masks = compare_masks(a, b)
    finite = np.isfinite(a) & np.isfinite(b)
    difference = np.abs(np.where(finite, a, 0.0) - np.where(finite, b, 0.0))
    reference = np.abs(np.where(finite, b, 0.0))
    if not difference.size:
        return Distance(masks=masks)
    worst = np.unravel_index(int(difference.argmax()), difference.shape)
    return Distance(
        masks=masks,
        rmse=root_mean_square(difference),
        maximum=float(difference.max()),
        scale=root_mean_square(reference),
        peak=float(reference.max()),
        worst=tuple(int(index) for index in worst),
        values=(float(a[worst]), float(b[worst])),
        mismatches=mismatches,
    )


def is_exact(array: Array) -> bool:
    """Whether elements are compared exactly: bools and integers."""
    return array.dtype.kind in "biu" or "int" in array.dtype.name


def as_float(array: Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The array in float64; complex numbers get a last axis of real and imaginary part."""
    if array.dtype.kind == "c":
        return np.stack([np.real(array), np.imag(array)], axis=-1).astype(np.float64)
    return array.astype(np.float64)


def compare_masks(value: Array, truth: Array) -> str:
    """What differs among the positions of NaN, +Inf and -Inf; empty if nothing does."""
    tests = {"NaN": np.isnan, "+Inf": np.isposinf, "-Inf": np.isneginf}
    found = {name: (int(test(value).sum()), int(test(truth).sum())) for name, test in tests.items()}
    differing = [
        f"{name} at {found[name][0]} positions where the truth has {found[name][1]}"
        for name, test in tests.items()
        if not np.array_equal(test(value), test(truth))
    ]
    return "; ".join(differing)


DECADES = range(-18, 1)
"""Powers of ten that `error_decades` counts in; smaller and larger ones go to the ends."""


def error_decades(value: Array, truth: Array) -> list[int]:
    """How many elements are off by how much: counts per decade of the error in units of the truth's RMS."""
    a, b = as_float(value), as_float(truth)
    finite = np.isfinite(a) & np.isfinite(b)
    errors = np.abs(a[finite] - b[finite]) / (root_mean_square(b[finite]) or 1.0)
    with np.errstate(divide="ignore"):
        powers = np.clip(np.floor(np.log10(errors)), DECADES[0], DECADES[-1])
    return [int(count) for count in np.bincount((powers - DECADES[0]).astype(np.int64), minlength=len(DECADES))]


def root_mean_square(array: Array) -> float:
    """Square root of the mean square, scaled against overflow."""
    peak = float(np.max(np.abs(array), initial=0.0))
    return peak * float(np.sqrt(np.mean(np.square(array / peak)))) if peak else 0.0
