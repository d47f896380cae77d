"""Resize and Upsample (traps R01 to R07)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.shapes import normalize_axes, product
from kxchange_onnx.lift import lift, refuse
from kxchange_onnx.lift_crop import crop_and_resize
from kxchange_onnx.operands_in import dims, floats
from kxchange_onnx.scaling import scaled_size


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a resize reads; names as in the op `resize`."""

    mode: str
    coordinate_mode: str = "half_pixel"
    nearest_mode: str = "round_prefer_floor"
    cubic_coefficient: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """The axes to resize with their new sizes, and scales where coordinates follow from those."""

    axes: tuple[int, ...]
    sizes: tuple[Dim, ...]
    scales: tuple[float, ...] | None = None


@lift.rule("Upsample", since=7)
def _(x: Value, *, mode: str, scales: Sequence[float]) -> Value:
    return _upsampled(x, mode, tuple(scales))


@lift.rule("Upsample", since=9)
def _(x: Value, scales: Value, *, mode: str) -> Value:
    return _upsampled(x, mode, floats(scales, "scales"))


def _upsampled(x: Value, mode: str, scales: tuple[float, ...]) -> Value:
    return resized(x, _by_scales(x, tuple(range(x.ndim)), scales), Sampling(mode, "asymmetric", "floor"))


@lift.rule("Resize")
def _(x: Value, scales: Value, *, mode: str) -> Value:
    """Version 10: what shrinks reads the element behind, what grows the one before."""
    factors = floats(scales, "scales")
    grown = tuple(max(factor, 1.0) for factor in factors)
    shrunk = tuple(min(factor, 1.0) for factor in factors)
    axes = tuple(range(x.ndim))
    x = resized(x, _by_scales(x, axes, shrunk), Sampling(mode, "asymmetric", "ceil"))
    return resized(x, _by_scales(x, axes, grown), Sampling(mode, "asymmetric", "floor"))


@lift.rule("Resize", since=11)
def _(
    x: Value,
    roi: Value | None,
    scales: Value | None,
    sizes: Value | None,
    *,
    coordinate_transformation_mode: str,
    cubic_coeff_a: float,
    exclude_outside: int,
    extrapolation_value: float,
    mode: str,
    nearest_mode: str,
) -> Value:
    goal = _goal(x, scales, sizes, None, "stretch")
    if coordinate_transformation_mode == "tf_crop_and_resize":
        return crop_and_resize(x, goal.axes, goal.sizes, _window(roi), mode, nearest_mode, extrapolation_value)
    if coordinate_transformation_mode == "tf_half_pixel_for_nn":
        return refuse("the coordinate mode tf_half_pixel_for_nn has no lift")
    return resized(
        x,
        goal,
        Sampling(mode, coordinate_transformation_mode, nearest_mode, cubic_coeff_a, bool(exclude_outside)),
    )


@lift.rule("Resize", since=18)
def _(
    x: Value,
    roi: Value | None,
    scales: Value | None,
    sizes: Value | None,
    *,
    antialias: int,
    axes: Sequence[int] | None,
    coordinate_transformation_mode: str,
    cubic_coeff_a: float,
    exclude_outside: int,
    extrapolation_value: float,
    keep_aspect_ratio_policy: str,
    mode: str,
    nearest_mode: str,
) -> Value:
    goal = _goal(x, scales, sizes, axes, keep_aspect_ratio_policy)
    if coordinate_transformation_mode == "tf_crop_and_resize":
        return crop_and_resize(x, goal.axes, goal.sizes, _window(roi), mode, nearest_mode, extrapolation_value)
    return resized(
        x,
        goal,
        Sampling(
            mode,
            coordinate_transformation_mode,
            nearest_mode,
            cubic_coeff_a,
            bool(exclude_outside),
            bool(antialias) and mode != "nearest",
        ),
    )


def _window(roi: Value | None) -> tuple[float, ...]:
    return refuse("it crops, and has no region to crop to") if roi is None else floats(roi, "roi")


def _goal(x: Value, scales: Value | None, sizes: Value | None, axes: Sequence[int] | None, policy: str) -> Goal:
    chosen = normalize_axes(range(x.ndim) if axes is None else axes, x.ndim)
    if scales is not None and scales.shape != (0,):
        return _by_scales(x, chosen, floats(scales, "scales"))
    if sizes is None:
        return refuse("it has neither scales nor sizes")
    wanted = dims(sizes, "sizes")
    if len(wanted) != len(chosen):
        return refuse(f"it has {len(wanted)} sizes for {len(chosen)} axes")
    return Goal(chosen, wanted) if policy == "stretch" else _proportional(x, chosen, wanted, policy)


def _by_scales(x: Value, axes: tuple[int, ...], scales: tuple[float, ...]) -> Goal:
    if len(scales) != len(axes) or any(scale <= 0 for scale in scales):
        return refuse(f"its scales {scales} do not fit {len(axes)} axes")
    sizes = tuple(scaled_size(x.shape[axis], scale) for axis, scale in zip(axes, scales, strict=True))
    return Goal(axes, sizes, scales)


def _proportional(x: Value, axes: tuple[int, ...], wanted: tuple[Dim, ...], policy: str) -> Goal:
    """Sizes with one scale for all axes, the smallest or the greatest that the wanted ones ask for."""
    old = tuple(x.shape[axis] for axis in axes)
    if any(not isinstance(size, int) for size in (*old, *wanted)):
        return refuse(f"its sizes follow from {old} and {wanted}, which must be known to keep their proportions")
    ratios = [Fraction(int(new), int(size)) for new, size in zip(wanted, old, strict=True)]  # type: ignore[arg-type]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    sizes = tuple(int(scale * int(size) + Fraction(1, 2)) for size in old)  # type: ignore[arg-type]
    return Goal(axes, sizes, (float(scale),) * len(axes))


def resized(x: Value, goal: Goal, sampling: Sampling) -> Value:
    """X with some axes resampled; they are moved behind two others where they are not there already."""
    scales = goal.scales or (None,) * len(goal.axes)
    changed = {a: (new, s) for a, new, s in zip(goal.axes, goal.sizes, scales, strict=True) if _moves(x, a, new, s)}
    if not changed:
        return x
    if x.ndim > 2 and min(changed) >= 2:
        return _spatial(x, {a: changed.get(a, (x.shape[a], None)) for a in range(2, x.ndim)}, sampling)
    still = tuple(a for a in range(x.ndim) if a not in changed)
    order = (*still, *changed)
    moved = ops.permute_dims(x, axes=order)
    rows = ops.reshape(moved, shape=(1, product(x.shape[a] for a in still), *(x.shape[a] for a in changed)))
    done = _spatial(rows, {i + 2: entry for i, entry in enumerate(changed.values())}, sampling)
    back = ops.reshape(done, shape=(*(x.shape[a] for a in still), *(size for size, _ in changed.values())))
    return ops.permute_dims(back, axes=tuple(order.index(a) for a in range(x.ndim)))


def _moves(x: Value, axis: int, size: Dim, scale: float | None) -> bool:
    """Whether an axis is resampled at all: of one size and of scale 1 it stays as it is."""
    return size != x.shape[axis] or scale not in (None, 1.0)


def _spatial(x: Value, goals: dict[int, tuple[Dim, float | None]], sampling: Sampling) -> Value:
    sizes = tuple(size for size, _ in goals.values())
    exact = all(scale is None or _is_exact(x.shape[axis], size, scale) for axis, (size, scale) in goals.items())
    if not exact and sampling.coordinate_mode == "align_corners":
        return refuse(
            "it aligns corners by scales that give no whole sizes, where onnx's reference and ONNX Runtime disagree; "
            "give sizes instead"
        )
    factors = None if exact else tuple(1.0 if scale is None else scale for _, scale in goals.values())
    return ops.resize(
        x,
        sizes=sizes,
        mode=sampling.mode,
        coordinate_mode=sampling.coordinate_mode,
        nearest_mode=sampling.nearest_mode,
        cubic_coefficient=sampling.cubic_coefficient,
        antialias=sampling.antialias,
        exclude_outside=sampling.exclude_outside,
        scales=factors,
    )


def _is_exact(size: Dim, new: Dim, scale: float) -> bool:
    """Whether the new size is the old one times the scale, so that the sizes say all."""
    if isinstance(size, int) and isinstance(new, int):
        return Fraction(scale) * size == new
    return scale == int(scale) and size * int(scale) == new
