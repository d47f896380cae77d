"""How windows lie on spatial axes: explicit and automatic padding, strides, dilations, all per axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kxchange.dims import Dim, dim_max
from kxchange.graph import Value
from kxchange_onnx.lift import refuse

Pairs = tuple[tuple[Dim, Dim], ...]
AUTOMATIC = ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "")


@dataclass(frozen=True, slots=True)
class Window:
    """One entry per spatial axis.

    Attributes:
        sizes: Taps.
        strides: Steps between windows.
        dilations: Steps between taps.
        padding: Elements before and after each axis.
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: Pairs

    @property
    def spans(self) -> tuple[int, ...]:
        """Elements from the first tap to the last, both counted."""
        return tuple((size - 1) * gap + 1 for size, gap in zip(self.sizes, self.dilations, strict=True))


def window(
    x: Value,
    sizes: Sequence[int],
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
    pads: Sequence[int] | None,
    auto_pad: str,
) -> Window:
    """The window of a convolution or pool over the spatial axes of x."""
    rank = x.ndim - 2
    ones = (1,) * rank
    steps, gaps = tuple(strides or ones), tuple(dilations or ones)
    if rank < 1 or {len(sizes), len(steps), len(gaps)} != {rank} or auto_pad not in AUTOMATIC:
        return refuse(
            f"its window {tuple(sizes)}, strides {steps} and dilations {gaps} do not fit {rank} spatial axes, "
            f"or its padding {auto_pad!r} is unknown"
        )
    padding = explicit(pads, rank)
    if auto_pad.startswith("SAME"):
        spans = [(size - 1) * gap + 1 for size, gap in zip(sizes, gaps, strict=True)]
        padding = same_padding(x.shape[2:], spans, steps, lower=auto_pad == "SAME_LOWER")
    elif auto_pad == "VALID":
        padding = ((0, 0),) * rank
    return Window(tuple(sizes), steps, gaps, padding)


def explicit(pads: Sequence[int] | None, rank: int) -> Pairs:
    """``[begin..., end...]`` as pairs; zeros where absent."""
    given = tuple(pads or (0,) * (2 * rank))
    if len(given) != 2 * rank:
        return refuse(f"its pads {given} do not fit {rank} spatial axes")
    return tuple(zip(given[:rank], given[rank:], strict=True))


def same_padding(sizes: Sequence[Dim], spans: Sequence[int], strides: Sequence[int], *, lower: bool) -> Pairs:
    """Padding that gives ``ceil(size / stride)`` windows; the odd element goes to the end, or if `lower` to the front.

    Symbolic sizes give symbolic paddings (trap C03).
    """
    pairs: list[tuple[Dim, Dim]] = []
    for size, span, stride in zip(sizes, spans, strides, strict=True):
        count = -(-size // stride)
        total = dim_max((count - 1) * stride + span - size, 0)
        small = total // 2
        pairs.append((total - small, small) if lower else (small, total - small))
    return tuple(pairs)
