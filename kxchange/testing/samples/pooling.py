"""Samples of pools."""

from __future__ import annotations

import math

from kxchange.testing.samples import dim, distinct, integers, normal, samples, values

BATCH = ("batch", 2)
PAD_0, PAD_1 = ((0, 0), (0, 0)), ((1, 1), (1, 1))


def _max(window: tuple[int, ...], **changes: object) -> dict[str, object]:
    rank = len(window)
    defaults = {"strides": window, "padding": ((0, 0),) * rank, "dilations": (1,) * rank}
    return {"window": window, **defaults, **changes}


def _avg(window: tuple[int, ...], **changes: object) -> dict[str, object]:
    return {"window": window, "strides": window, "padding": ((0, 0),) * len(window), **changes}


samples("max_pool", [distinct(BATCH, 3, ("h", 6), ("w", 7), scale=0.25)], _max((2, 2)))
samples("max_pool", [distinct(2, 2, 7, 7, scale=0.25)], _max((3, 3), strides=(2, 2), padding=PAD_1))
samples("max_pool", [distinct(2, 2, ("h", 7), ("w", 6), scale=0.25)], _max((3, 2), strides=(2, 2), ceil_mode=True))
samples("max_pool", [distinct(2, 7, 6, 2, scale=0.25)], _max((3, 3), strides=(1, 2), channel_axis=-1))
samples("max_pool", [distinct(1, 2, 9, 8, scale=0.25)], _max((3, 2), strides=(1, 2), dilations=(2, 3)))
samples("max_pool", [distinct(2, 3, ("length", 9), scale=0.25)], _max((3,), strides=(2,), padding=((0, 1),)))
samples("max_pool", [distinct(1, 2, 4, 5, 6, scale=0.25)], _max((2, 2, 3)))
samples(
    "max_pool",
    [values([[[0.0, 1.0, 2.0, 3.0]]])],
    _max((2,), strides=(3,), padding=((1, 1),), ceil_mode=True),
    note="C11",
)
samples("max_pool", [values([[[-5.0, -3.0]]])], _max((2,), strides=(1,), padding=((1, 1),)), note="negative")
samples("max_pool", [integers(-9, 10, 1, 2, 6, 6)], _max((2, 2)))

samples("avg_pool", [normal(BATCH, 3, ("h", 6), ("w", 7))], _avg((2, 2)))
samples("avg_pool", [normal(BATCH, 2, ("h", 7), ("w", 6))], _avg((3, 3), strides=(2, 2), padding=PAD_1))
samples(
    "avg_pool",
    [normal(2, 2, 7, 6)],
    _avg((3, 3), strides=(2, 2), padding=((1, 0), (0, 1)), count_include_pad=True),
)
samples("avg_pool", [normal(2, 2, 7, 6)], _avg((3, 2), strides=(2, 2), ceil_mode=True, padding=PAD_1))
samples("avg_pool", [normal(2, 7, 6, 2)], _avg((3, 3), strides=(1, 2), padding=PAD_1, channel_axis=-1))
samples("avg_pool", [normal(2, 2, 7, 6)], _avg((2, 2), divisor=3))
samples("avg_pool", [normal(2, 3, ("length", 9))], _avg((3,), strides=(2,), padding=((1, dim("length % 2")),)))
samples("avg_pool", [normal(1, 2, 4, 5, 6)], _avg((2, 2, 3)))
samples("avg_pool", [values([[[[1.0, 2.0], [3.0, 4.0]]]])], _avg((3, 3), strides=(1, 1), padding=PAD_1), note="C09")
samples(
    "avg_pool",
    [values([[[[float(4 * row + column) for column in range(1, 5)] for row in range(4)]]])],
    _avg((3, 3), strides=(2, 2), padding=PAD_1, ceil_mode=True, count_include_pad=True),
    note="C10",
)
samples(
    "avg_pool",
    [normal(1, 2, ("h", 8), ("w", 7))],
    _avg((3, 3), strides=(3, 2), padding=((1, 1), (0, 1)), ceil_mode=True, count_include_pad=True),
)

samples("lp_pool", [normal(BATCH, 2, ("h", 6), 5)], _avg((2, 2), strides=(2, 1)))
samples("lp_pool", [normal(2, 6, 5, 2)], _avg((2, 2), strides=(2, 1), p=3, channel_axis=-1))
samples("lp_pool", [normal(2, 2, 7)], _avg((3,), strides=(2,), padding=((1, 1),), p=1))

samples("adaptive_avg_pool", [normal(BATCH, 3, ("h", 5), ("w", 7))], {"output_size": (1, 1)})
samples("adaptive_avg_pool", [normal(BATCH, 3, 6, 8)], {"output_size": (3, 2)})
samples("adaptive_avg_pool", [normal(BATCH, 3, 7, 5)], {"output_size": (3, 2)})
samples("adaptive_avg_pool", [normal(2, 7, 4, 3)], {"output_size": (3, 4), "channel_axis": -1})
samples("adaptive_avg_pool", [normal(2, 3, 4, 5)], {"output_size": (6, 1)}, note="grows")
samples("adaptive_avg_pool", [values([[[0.0, 1.0, 2.0, 3.0, 4.0]]])], {"output_size": (3,)}, note="C15")
samples("adaptive_avg_pool", [normal(1, 2, 4, 5, 3)], {"output_size": (2, 2, 2)})

samples("adaptive_avg_pool", [normal(BATCH, 2, ("h", 5), ("w", 7))], {"output_size": (2, dim("(w+1)//2"))})
samples("adaptive_avg_pool", [normal(2, ("h", 5), 4)], {"output_size": (3,), "channel_axis": -1})

samples("adaptive_max_pool", [distinct(BATCH, 3, ("h", 5), ("w", 7), scale=0.25)], {"output_size": (1, 1)})
samples("adaptive_max_pool", [distinct(BATCH, 3, 6, 8, scale=0.25)], {"output_size": (3, 2)})
samples("adaptive_max_pool", [distinct(BATCH, 2, 7, 5, scale=0.25)], {"output_size": (3, 2)})
samples("adaptive_max_pool", [distinct(2, 7, 4, 3, scale=0.25)], {"output_size": (3, 4), "channel_axis": -1})
samples("adaptive_max_pool", [distinct(1, 2, ("h", 5), ("w", 7), scale=0.25)], {"output_size": (2, dim("(w+1)//2"))})
samples("adaptive_max_pool", [integers(-9, 9, 1, ("n", 5), 3)], {"output_size": (2,), "channel_axis": -1})
samples("adaptive_max_pool", [values([[[4.0, 0.0, 1.0, -math.inf, 2.0]]])], {"output_size": (3,)}, differentiable=False)
