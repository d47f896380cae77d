"""Samples of convolutions."""

from __future__ import annotations

from kxchange.testing.samples import dim, integers, normal, samples, values

BATCH = ("batch", 2)
H, W = ("h", 7), ("w", 6)


def _conv(rank: int, **changes: object) -> dict[str, object]:
    return {"strides": (1,) * rank, "padding": ((0, 0),) * rank, "dilations": (1,) * rank, **changes}


samples("conv", [normal(BATCH, 3, 7, 6), normal(4, 3, 3, 2), normal(4)], _conv(2))
samples("conv", [normal(BATCH, 3, H, W), normal(4, 3, 3, 3), None], _conv(2, padding=((1, 1), (0, 2)), strides=(2, 1)))
samples("conv", [normal(BATCH, H, W, 3), normal(4, 3, 3, 3), normal(4)], _conv(2, channel_axis=-1, strides=(2, 2)))
samples("conv", [normal(BATCH, 4, 9, 8), normal(6, 2, 3, 2), None], _conv(2, groups=2, dilations=(2, 3)))
samples(
    "conv", [normal(2, 4, 5, 5), normal(8, 1, 3, 3), normal(8)], _conv(2, groups=4, padding=((1, 1),) * 2), note="C07"
)
samples("conv", [normal(2, 5, 5, 4), normal(4, 1, 3, 3), normal(4)], _conv(2, groups=4, channel_axis=-1))
samples("conv", [normal(BATCH, 3, ("length", 8)), normal(5, 3, 3), normal(5)], _conv(1, padding=((2, 0),)))
samples("conv", [normal(2, 8, 3), normal(5, 3, 1), None], _conv(1, channel_axis=-1))
samples("conv", [normal(1, 2, 4, 5, 6), normal(3, 2, 2, 3, 2), normal(3)], _conv(3, strides=(1, 2, 2)))
samples("conv", [normal(1, 4, 5, 6, 2), normal(3, 2, 2, 3, 2), normal(3)], _conv(3, channel_axis=-1))
samples("conv", [values([[[1.0, 2.0, 3.0]]]), values([[[1.0, 10.0]]]), None], _conv(1, padding=((0, 1),)), note="C02")
samples(
    "conv",
    [normal(2, 1, ("length", 7)), normal(1, 1, 3), None],
    _conv(1, strides=(2,), padding=((0, dim("length % 2")),)),
    note="C03",
)
samples("conv", [integers(-4, 5, 1, 2, 5, 5), integers(-4, 5, 3, 2, 2, 2), None], _conv(2))


def _transpose(rank: int, **changes: object) -> dict[str, object]:
    return _conv(rank, **{"output_padding": (0,) * rank, **changes})


samples("conv_transpose", [normal(BATCH, 3, 4, 5), normal(3, 4, 3, 2), normal(4)], _transpose(2))
samples(
    "conv_transpose",
    [normal(BATCH, 3, ("h", 4), ("w", 5)), normal(3, 4, 3, 3), normal(4)],
    _transpose(2, strides=(2, 2), padding=((1, 1), (1, 1)), output_padding=(1, 1)),
)
samples(
    "conv_transpose",
    [normal(2, 4, 5, 4), normal(4, 3, 2, 3), normal(6)],
    _transpose(2, strides=(3, 2), padding=((0, 1), (2, 0)), groups=2, dilations=(1, 2)),
)
samples(
    "conv_transpose",
    [normal(BATCH, ("h", 3), 4, 2), normal(2, 3, 2, 2), None],
    _transpose(2, strides=(2, 2), channel_axis=-1),
)
samples(
    "conv_transpose",
    [values([[[1.0, 2.0]]]), values([[[1.0, 10.0, 100.0]]]), None],
    _transpose(1, strides=(2,)),
    note="C04",
)
samples(
    "conv_transpose",
    [values([[[1.0, 2.0]]]), values([[[1.0, 10.0, 100.0]]]), None],
    _transpose(1, strides=(2,), padding=((0, 1),)),
    note="C05",
)
samples("conv_transpose", [normal(2, 3, 4), normal(3, 2, 1), normal(2)], _transpose(1, strides=(2,)))
samples(
    "conv_transpose",
    [normal(1, 2, 3, 2, 3), normal(2, 3, 2, 2, 2), normal(3)],
    _transpose(3, strides=(1, 2, 2), output_padding=(0, 1, 0)),
)
