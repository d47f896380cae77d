"""Samples of `resize`."""

from __future__ import annotations

from itertools import product

from kxchange.testing.samples import dim, distinct, integers, normal, samples, values

BATCH = ("batch", 2)
COORDINATES = ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "half_pixel_symmetric")
ROUNDING = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")

for coordinate_mode, nearest_mode in product(COORDINATES, ROUNDING):
    samples(
        "resize",
        [distinct(1, 1, 4, 5, scale=0.25)],
        {"sizes": (6, 3), "mode": "nearest", "coordinate_mode": coordinate_mode, "nearest_mode": nearest_mode},
    )
for coordinate_mode, mode in product(COORDINATES, ("linear", "cubic")):
    samples("resize", [normal(2, 2, 4, 6)], {"sizes": (7, 3), "mode": mode, "coordinate_mode": coordinate_mode})
for mode, exclude_outside in product(("linear", "cubic"), (False, True)):
    chosen = {"mode": mode, "antialias": True, "exclude_outside": exclude_outside}
    samples("resize", [normal(1, 2, 9, 8)], {"sizes": (4, 11), **chosen})
samples("resize", [normal(BATCH, 3, 4, 5)], {"sizes": (8, 10)})
samples("resize", [normal(BATCH, 4, 5, 3)], {"sizes": (8, 7), "channel_axis": -1})
samples("resize", [normal(BATCH, 3, 6)], {"sizes": (4,), "mode": "cubic"})
samples("resize", [normal(1, 2, 3, 4, 5)], {"sizes": (4, 4, 7)})
for coordinate_mode in COORDINATES:
    chosen = {"sizes": (dim("h+2"), 3), "coordinate_mode": coordinate_mode}
    samples("resize", [normal(BATCH, 2, ("h", 4), ("w", 5))], chosen)
    samples("resize", [normal(BATCH, ("h", 4), ("w", 5), 2)], {**chosen, "channel_axis": -1})
for coordinate_mode, nearest_mode in product(COORDINATES, ROUNDING):
    chosen = {"mode": "nearest", "coordinate_mode": coordinate_mode, "nearest_mode": nearest_mode}
    samples("resize", [distinct(1, 1, ("n", 5), scale=0.25)], {"sizes": (dim("2*n-3"),), **chosen})
samples("resize", [normal(1, 2, ("n", 3))], {"sizes": (dim("2*n"),), "scales": (2.0,)}, note="R06")
samples("resize", [normal(1, 2, ("n", 3))], {"sizes": (1,), "coordinate_mode": "pytorch_half_pixel"}, note="R07")
samples("resize", [integers(0, 9, 1, 1, 3, 3)], {"sizes": (5, 7), "mode": "nearest"})
samples("resize", [normal(1, 1, 4, 4)], {"sizes": (1, 1), "coordinate_mode": "align_corners"})
samples("resize", [normal(1, 1, 4, 4)], {"sizes": (1, 3), "coordinate_mode": "pytorch_half_pixel"}, note="R07")
samples("resize", [values([[[1.0, 2.0, 3.0, 4.0]]])], {"sizes": (8,)}, note="R01")
samples("resize", [values([[[0.0, 1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 49.0]]])], {"sizes": (2,)}, note="R02")
samples(
    "resize",
    [values([[[0.0, 1.0, 2.0, 3.0, 4.0]]])],
    {"sizes": (3,), "mode": "nearest", "coordinate_mode": "asymmetric", "nearest_mode": "floor"},
    note="R03",
)
samples("resize", [values([[[1.0, 2.0, 3.0, 4.0]]])], {"sizes": (6,), "mode": "nearest"}, note="R04")
samples(
    "resize",
    [values([[[1.0, 2.0, 4.0, 8.0]]])],
    {"sizes": (8,), "mode": "cubic", "cubic_coefficient": -0.5, "exclude_outside": True},
    note="R05",
)
samples("resize", [values([[[0.0, 1.0, 2.0]]])], {"sizes": (4,), "scales": (1.5,)}, note="R06")
samples(
    "resize",
    [normal(1, 1, 5, 5)],
    {"sizes": (7, 3), "scales": (1.5, 0.7), "coordinate_mode": "half_pixel_symmetric"},
)
