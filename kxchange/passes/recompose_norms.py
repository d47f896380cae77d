"""Normalisations, dissolved and whole."""

from __future__ import annotations

from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.ops.group_normalization import group_norm
from kxchange.ops.normalization import batch_norm, l2_normalize, layer_norm, rms_norm
from kxchange.passes.recompose_catalogue import ODD, Composite, derived
from kxchange.passes.recompose_found import Found, Unrealizable, with_shape
from kxchange.passes.recompose_match import Pattern

X = {"x": "float32[a, b, c]"}
SCALE = {"scale": "float32[c]"}
BIAS = {"bias": "float32[c]"}
AFFINE: tuple[dict[str, str], ...] = ({}, SCALE, BIAS, SCALE | BIAS)
MEAN: Pattern = ("mean", "?x", "@axes")
MEAN_SQUARE: Pattern = ("mean", ("pow", "?x", 2.0), "@axes")
CENTRED: Pattern = ("add", ("scaled", MEAN, -1.0), "?x")


def norms() -> list[Composite]:
    """Every normalisation."""
    return [
        Composite("layer_norm", (*_derived_layer_norms(), *_other_layer_norms()), _layer_norm),
        Composite("rms_norm", (derived("rms_norm", X, epsilon=ODD), *_rms()), _rms_norm),
        Composite("batch_norm", (*_derived_batch_norms(), *_other_batch_norms()), _batch_norm),
        Composite("group_norm", (*_split_group_norms(), *_spread_group_norms()), _group_norm),
        Composite("l2_normalize", (derived("l2_normalize", X, axis=(-1,), epsilon=ODD),), _l2_normalize),
    ]


def _derived_layer_norms() -> list[Pattern]:
    return [derived("layer_norm", X | operands, axes=1, epsilon=ODD) for operands in AFFINE]


def _inverse(*variance: Pattern) -> Pattern:
    """``rsqrt(variance + epsilon)``."""
    return ("pow", ("add", *variance, "#epsilon"), -0.5)


def _other_layer_norms() -> list[Pattern]:
    """The variance as mean of squares less square of the mean, or kept from falling below 0."""
    square: Pattern = ("scaled", ("pow", MEAN, 2.0), -1.0)
    fast: Pattern = ("add", MEAN_SQUARE, square)
    exact: Pattern = ("mean", ("pow", CENTRED, 2.0), "@axes")
    clipped: tuple[Pattern, ...] = (_inverse(("maximum", fast, 0.0)), _inverse(("maximum", exact, 0.0)))
    inverse: Pattern = ("any", _inverse(MEAN_SQUARE, square), _inverse(fast), *clipped)
    normed: Pattern = ("mul", inverse, CENTRED, "*scale")
    # Where x itself is a reduction, its axes of size 1 are seen through: both factors are views.
    viewed: Pattern = ("mul", ("view", ("any", inverse, _inverse(exact))), ("view", CENTRED), "*scale")
    return [normed, ("add", normed, "?bias"), viewed, ("add", viewed, "?bias")]


def _rms() -> list[Pattern]:
    inverse: Pattern = _inverse(MEAN_SQUARE)
    return [("mul", inverse, "?x", "*scale"), ("mul", ("view", inverse), ("view", "?x"), "*scale")]


def _layer_norm(found: Found) -> Value:
    x, reduced = found.operand("x")
    axes = _trailing(reduced, x.ndim)
    tail = x.shape[x.ndim - axes :]
    scale = _scale(found, tail)
    return layer_norm(x, scale, found.shaped("bias", tail), axes=axes, epsilon=found.number("epsilon"))


def _rms_norm(found: Found) -> Value:
    x, reduced = found.operand("x")
    axes = _trailing(reduced, x.ndim)
    return rms_norm(x, _scale(found, x.shape[x.ndim - axes :]), axes=axes, epsilon=found.number("epsilon"))


def _trailing(axes: tuple[int, ...], rank: int) -> int:
    """How many trailing axes are reduced."""
    if axes != tuple(range(rank - len(axes), rank)):
        raise Unrealizable(f"axes {axes} of {rank} are not the last ones.")
    return len(axes)


def _scale(found: Found, shape: tuple[Dim, ...]) -> Value | None:
    """What multiplies the normalised tensor."""
    rest = found.rest("scale")
    if rest is not None:
        return with_shape(rest, shape)
    return found.shaped("scale", shape)


def _derived_batch_norms() -> list[Pattern]:
    operands = {"x": "float32[n, c, h, w]", "mean": "float32[c]", "variance": "float32[c]"}
    return [derived("batch_norm", operands | more, epsilon=ODD) for more in AFFINE]


def _other_batch_norms() -> list[Pattern]:
    """The inverse deviation laid along its axis before or after; ``x * k + (bias - mean * k)`` with k computed once."""
    plain: Pattern = ("pow", ("add", "?variance", "#epsilon"), -0.5)
    inverse: Pattern = ("any", plain, ("view", plain, "@shape"))
    centred: Pattern = ("add", ("scaled", "?mean", -1.0), "?x")
    factor: Pattern = ("any", ("mul", inverse, "?scale"), inverse)
    shift: Pattern = ("scaled", ("mul", factor, "?mean"), -1.0)
    laid: Pattern = ("view", ("mul", plain, "?scale"), "@shape")
    wide: Pattern = ("any", factor, ("view", factor, "@shape"))
    flat: Pattern = ("scaled", ("mul", inverse, "?scale", "?mean"), -1.0)
    return [
        ("mul", inverse, centred, "*scale"),
        ("add", ("mul", inverse, centred, "*scale"), "?bias"),
        ("mul", laid, centred),
        ("add", ("mul", laid, centred), "?bias"),
        ("add", ("mul", factor, "?x"), shift, "?bias"),
        ("add", ("mul", wide, "?x"), ("view", ("add", ("any", shift, flat), "?bias"), "@shape")),
        ("add", ("mul", inverse, "?scale", "?x"), flat, "?bias"),
    ]


def _batch_norm(found: Found) -> Value:
    x = found.like_root("x")
    axis = _channel_axis(found, x)
    size = (x.shape[axis],)
    for name in ("mean", "variance"):
        # Statistics that the graph takes of x itself are another normalisation.
        term = found.term(name)
        source = term.args[0] if term.head == "view" else term
        if source.head != "input" and not found.is_static(term):
            raise Unrealizable(f"the {name} is computed.")
    mean, variance, bias = (found.shaped(name, size) for name in ("mean", "variance", "bias"))
    named = 1 if axis == 1 else -1 if axis == x.ndim - 1 else axis
    return batch_norm(x, mean, variance, _scale(found, size), bias, epsilon=found.number("epsilon"), channel_axis=named)


def _channel_axis(found: Found, x: Value) -> int:
    """The one axis that all the vectors lie along."""
    terms = [found.term(name) for name in ("mean", "variance", "scale", "bias") if found.has(name)]
    rest = found.rest("scale")
    shapes = [term.shape for term in (*terms, *((rest,) if rest else ()))]
    laid: tuple[Dim, ...] | None = found.names.get("@shape")
    if laid is not None:
        # What is inside the view is a vector that does not know its place.
        shapes = [laid, *(shape for shape in shapes if len(shape) == x.ndim)]
    axes = {_axis_of_vector(shape, x.ndim) for shape in shapes}
    if len(axes) != 1:
        raise Unrealizable(f"the vectors lie along the axes {axes}.")
    return axes.pop()


def _axis_of_vector(shape: tuple[Dim, ...], rank: int) -> int:
    """The axis of a broadcast vector, counted in the tensor that it is broadcast to."""
    long = [axis for axis, size in enumerate(shape) if size != 1]
    if len(long) != 1 or len(shape) > rank:
        raise Unrealizable(f"{shape} is no vector.")
    return long[0] + rank - len(shape)


SPLIT: Pattern = ("reshape", "?x", "@split")


def _split_group_norms() -> list[Pattern]:
    """The tensor is normalised in groups, and put together again before scale and bias."""
    centred: Pattern = ("add", ("scaled", ("mean", SPLIT, "@axes"), -1.0), SPLIT)
    variance: Pattern = ("mean", ("pow", centred, 2.0), "@axes")
    normed: Pattern = ("mul", ("any", _inverse(variance), _inverse(("maximum", variance, 0.0))), centred)
    whole: Pattern = ("reshape", normed)
    return [whole, *_with_affine(whole)]


def _spread_group_norms() -> list[Pattern]:
    """Statistics of the groups are repeated for each of their channels."""

    def spread(statistic: Pattern) -> Pattern:
        return ("reshape", ("broadcast_to", ("any", ("view", statistic), statistic)))

    mean: Pattern = ("mean", SPLIT, "@axes")
    square: Pattern = ("scaled", ("pow", mean, 2.0), -1.0)
    squares: Pattern = ("mean", ("pow", SPLIT, 2.0), "@axes")
    centred: Pattern = ("add", ("scaled", mean, -1.0), SPLIT)
    exact: Pattern = ("mean", ("pow", centred, 2.0), "@axes")
    fast: Pattern = ("add", squares, square)
    variance: Pattern = ("any", ("maximum", fast, 0.0), exact, fast)
    inverse: Pattern = ("pow", ("add", spread(variance), "#epsilon"), -0.5)
    normed: tuple[Pattern, ...] = (inverse, ("add", ("scaled", spread(mean), -1.0), "?x"))
    return [("mul", *normed, "*scale"), ("add", ("mul", *normed, "*scale"), "?bias")]


def _with_affine(normed: Pattern) -> list[Pattern]:
    return [("mul", normed, "*scale"), ("add", normed, "?bias"), ("add", ("mul", normed, "*scale"), "?bias")]


def _group_norm(found: Found) -> Value:
    x = found.like_root("x")
    split: tuple[Dim, ...] = found.names["@split"]
    kept = [axis for axis in range(len(split)) if axis not in found.names["@axes"]]
    groups = split[kept[-1]]
    if len(kept) != 2 or kept[0] != 0 or not isinstance(groups, int):
        raise Unrealizable(f"means over {found.names['@axes']} of {split} are not of groups of channels.")
    channel_axis = 1 if kept[1] == 1 and split[: x.ndim - 1] != x.shape[:-1] else -1
    size = (x.shape[channel_axis],)
    bias = found.shaped("bias", size)
    return group_norm(
        x, _scale(found, size), bias, groups=groups, epsilon=found.number("epsilon"), channel_axis=channel_axis
    )


def _l2_normalize(found: Found) -> Value:
    return l2_normalize(found.element("x"), axis=found.axes("x"), epsilon=found.number("epsilon"))
