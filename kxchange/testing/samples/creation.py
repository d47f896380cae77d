"""Samples of the creation ops."""

from __future__ import annotations

from kxchange.constant import Constant
from kxchange.testing.samples import FLOAT, dim, samples
from kxchange.types import DType

samples("full", attrs={"shape": (2, 3), "value": 1 / 3, "dtype": FLOAT})
samples("full", attrs={"shape": (dim("batch"), 2), "value": 7, "dtype": DType.INT64}, dims={"batch": 3})
samples("full", attrs={"shape": (), "value": dim("2*seq+1"), "dtype": FLOAT}, dims={"seq": 4}, note="size-as-data")
samples("full", attrs={"shape": (0, 2), "value": True, "dtype": DType.BOOL}, note="empty")
samples("full", attrs={"shape": (2,), "value": float("-inf"), "dtype": FLOAT}, note="D10")
samples("full", attrs={"shape": (2,), "value": -1e9, "dtype": FLOAT}, note="D10")
samples("full", attrs={"shape": (2,), "value": 1 - 2j, "dtype": DType.COMPLEX64})
samples("full", attrs={"shape": (1,), "value": 2**63 - 1, "dtype": DType.INT64}, note="largest")
samples("full", attrs={"shape": (1,), "value": 2**64 - 1, "dtype": DType.UINT64}, note="largest")

samples("arange", attrs={"start": 0, "stop": dim("seq"), "dtype": DType.INT64}, dims={"seq": 5})
samples(
    "arange", attrs={"start": dim("past"), "stop": dim("past+seq"), "dtype": DType.INT32}, dims={"past": 2, "seq": 3}
)
samples("arange", attrs={"start": 0, "stop": dim("seq"), "step": 2, "dtype": FLOAT}, dims={"seq": 7})
samples("arange", attrs={"start": dim("seq-1"), "stop": -1, "step": -1, "dtype": DType.INT64}, dims={"seq": 4})
samples("arange", attrs={"start": 1, "stop": 1.3, "step": 0.1, "dtype": FLOAT}, note="R15")
samples("arange", attrs={"start": 3, "stop": 1, "dtype": DType.INT64}, note="empty")

samples("eye", attrs={"rows": dim("n"), "dtype": FLOAT}, dims={"n": 3})
samples("eye", attrs={"rows": 2, "columns": 4, "offset": 1, "dtype": DType.INT32})
samples("eye", attrs={"rows": 3, "columns": 2, "offset": -1, "dtype": DType.BOOL})

samples("constant", attrs={"value": Constant([[1.5, -2.0], [0.0, 3.0]])})
samples("constant", attrs={"value": Constant(3)}, note="rank-0")
