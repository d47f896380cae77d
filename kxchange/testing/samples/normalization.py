"""Samples of normalisations."""

from __future__ import annotations

from kxchange.testing.samples import Operand, normal, samples, uniform, values

BATCH = ("batch", 3)
H, W = ("h", 4), ("w", 5)


def _statistics(channels: int) -> list[Operand | None]:
    return [normal(channels), uniform(0.1, 2.0, channels)]


samples("batch_norm", [normal(BATCH, 4, H, W), *_statistics(4), normal(4), normal(4)], {"epsilon": 1e-3})
samples("batch_norm", [normal(BATCH, 3, 4), *_statistics(4), normal(4), None], {"epsilon": 1e-5, "channel_axis": -1})
samples("batch_norm", [normal(BATCH, 4), *_statistics(4), None, normal(4)], {"epsilon": 1e-5})
samples("batch_norm", [normal(2, 4, 3), *_statistics(4), None, None], {"epsilon": 1e-5})
samples("batch_norm", [normal(2, 3, scale=1e-2), *_statistics(3), normal(3), normal(3)], {"epsilon": 1e-3}, note="N01")

samples("layer_norm", [normal(BATCH, ("seq", 4), 8), normal(8), normal(8)], {"epsilon": 1e-5})
samples("layer_norm", [normal(BATCH, 3, 4), normal(3, 4), normal(3, 4)], {"axes": 2, "epsilon": 1e-6})
samples("layer_norm", [normal(BATCH, 6), normal(6), None], {"epsilon": 1e-12})
samples("layer_norm", [normal(BATCH, 6, scale=1e-2), None, None], {"epsilon": 1e-3}, note="N01")
samples(
    "layer_norm",
    [values([[10000.0, 10001.0, 10002.0, 10003.0]]), None, None],
    {"epsilon": 1e-5},
    dtypes=["float64"],
    note="N04",
)

samples("rms_norm", [normal(BATCH, ("seq", 4), 8), normal(8)], {"epsilon": 1e-6})
samples("rms_norm", [normal(BATCH, 3, 4), normal(3, 4)], {"axes": 2, "epsilon": 1e-5})
samples("rms_norm", [normal(BATCH, 6, scale=1e-2), None], {"epsilon": 1e-5}, note="N01")

samples("group_norm", [normal(BATCH, 6, H, W), normal(6), normal(6)], {"groups": 3, "epsilon": 1e-5})
samples(
    "group_norm", [normal(BATCH, H, W, 6), normal(6), normal(6)], {"groups": 2, "epsilon": 1e-3, "channel_axis": -1}
)
samples("group_norm", [normal(2, 4), None, None], {"groups": 2, "epsilon": 1e-5})
samples(
    "group_norm", [values([[1.0, 2.0, 3.0, 10.0]]), normal(4), normal(4)], {"groups": 2, "epsilon": 1e-5}, note="N07"
)

samples("instance_norm", [normal(BATCH, 3, H, W), normal(3), normal(3)], {"epsilon": 1e-5})
samples("instance_norm", [normal(BATCH, H, W, 3), normal(3), None], {"epsilon": 1e-3, "channel_axis": -1})
samples("instance_norm", [normal(2, 3, 6), None, None], {"epsilon": 1e-5}, note="N09")

_LRN = {"size": 3, "alpha": 1.0, "beta": 1.0, "k": 1.0}
samples("local_response_norm", [normal(BATCH, 6, H, W)], {"size": 5, "alpha": 1e-2, "beta": 0.75, "k": 2.0})
samples("local_response_norm", [normal(2, 4, 5, 6)], {**_LRN, "channel_axis": -1, "beta": 0.5})
samples("local_response_norm", [values([[[1.0], [1.0], [1.0]]])], _LRN, note="C16")

samples("l2_normalize", [normal(BATCH, 5)], {"axis": (-1,), "epsilon": 1e-12})
samples("l2_normalize", [normal(2, 3, ("n", 4))], {"axis": (1, 2), "epsilon": 1e-3})
samples(
    "l2_normalize",
    [values([[6e-8, 8e-8]])],
    {"axis": (1,), "epsilon": 1e-12},
    dtypes=["float64", "float32"],
    note="N06",
)
samples("l2_normalize", [values([[0.0, 0.0]])], {"axis": (1,), "epsilon": 1e-3}, differentiable=False, note="zero")

samples("dropout", [normal(BATCH, 4)], {"rate": 0.25}, note="A13")
