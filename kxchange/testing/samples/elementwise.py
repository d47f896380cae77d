"""Samples of the elementwise ops."""

from __future__ import annotations

from kxchange.testing.sample import Operand
from kxchange.testing.samples import FLOAT, booleans, distinct, integers, normal, samples, uniform, values
from kxchange.types import DType

INF, NAN = float("inf"), float("nan")
SPECIAL = values([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN])
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def unary(names: str, operand: Operand, *extra: Operand, smooth: bool = True) -> None:
    """Samples on an operand of the op's domain, on IEEE's special values, and on more operands."""
    for name in names.split():
        samples(name, [operand])
        samples(name, [SPECIAL], differentiable=False, note="special")
        for more in extra:
            samples(name, [more], differentiable=None if smooth else False)


batch = ("batch", 3)
unary("exp expm1 sin cos tan atan sinh cosh tanh asinh erf erfc", normal(batch, 5), normal(2, dtype=DType.FLOAT32))
unary("log log2 log10 sqrt rsqrt", uniform(0.1, 4.0, batch, 5), values([1e-3, 1.0, 1e4]))
unary("log1p", uniform(-0.9, 3.0, batch, 5), values([1e-7, -1e-7]))
unary("asin acos atanh erfinv", uniform(-0.95, 0.95, batch, 5))
unary("acosh", uniform(1.1, 5.0, batch, 5))
unary("lgamma digamma", uniform(0.1, 12.0, batch, 5), values([-0.5, -1.25, 30.0]))
unary("negative square abs sign", normal(batch, 5), integers(-9, 9, 4, dtype=DType.INT32))
unary("reciprocal", uniform(0.5, 2.0, batch, 5))
unary("ceil floor trunc round", normal(batch, 5, scale=3.0), integers(-9, 9, 4, dtype=DType.INT64))
samples("round", [values([0.5, 1.5, 2.5, -0.5, -1.5])], note="I01")
samples("erf", [values([-6.0, -3.0, -0.5, 0.4999, 0.5, 3.9, 4.1, 30.0])], note="tails")
samples("erfc", [values([-6.0, -3.0, -0.5, 0.4999, 0.5, 3.9, 4.1, 9.0])], note="tails")
samples("erfinv", [values([0.0, 0.5, -0.75, 0.96875, -0.99609375])], note="tails")
samples("abs", [values([-128, 127], DType.INT8)], note="I16")
samples("negative", [values([1, 0, 255], DType.UINT8)], note="wraps")
for name in ["exp", "log", "sqrt", "negative", "abs", "square", "reciprocal", "sin", "tanh"]:
    samples(name, [normal(4, dtype=DType.COMPLEX64)], note="complex")

for name in ["isfinite", "isinf", "isnan"]:
    samples(name, [values([[0.0, INF, -INF], [NAN, 1.0, -2.0]], sizes=[("batch", 2), 3])])
samples("logical_not", [booleans(batch, 2)])
samples("bitwise_invert", [integers(-9, 9, batch, dtype=DType.INT32)])
samples("bitwise_invert", [values([0, 255, 15], DType.UINT8)])

for name in ["add", "subtract", "multiply", "maximum", "minimum"]:
    samples(name, [normal(batch, 1, 5), normal(4, 1)])
    samples(name, [integers(-9, 9, batch, dtype=DType.INT32), integers(-9, 9, dtype=DType.INT32)])
    samples(name, [SPECIAL, values([NAN, 0.0, INF, 2.0, INF, INF, 1.0])], differentiable=False, note="special")
    samples(name, [values([100, -128, 127], DType.INT8), values([100, 1, 1], DType.INT8)], note="wraps")
samples("subtract", [values([1], DType.UINT8), values([2], DType.UINT8)], note="I16")
samples("multiply", [normal(3, dtype=DType.COMPLEX64), normal(3, dtype=DType.COMPLEX64)], note="complex")
samples("add", [values([1e-40]), values([1e-41])], dtypes=[DType.FLOAT32], note="P01")
samples("divide", [normal(batch, 5), uniform(0.5, 2.0, 5)])
samples("divide", [SPECIAL, values([0.0, 1.0, 0.0, 0.0, INF, 2.0, 1.0])], differentiable=False, note="special")
for name in ["floor_divide", "remainder", "fmod", "truncated_divide"]:
    samples(name, [values([-7, 7, -7, 7], DType.INT32), values([2, -2, -2, 2], DType.INT32)], note="I02-I04")
    samples(name, [values([1, -1, 0], DType.INT32), values([0, 0, 0], DType.INT32)], note="I06")
    samples(name, [values([INT32_MIN, INT32_MIN], DType.INT32), values([-1, 1], DType.INT32)], note="limit")
    samples(name, [values([200, 7], DType.UINT8), values([3, 250], DType.UINT8)])
    samples(name, [values([-7.5, 7.5, -7.5, 1.0]), values([2.0, -2.0, -2.0, 4.0])], differentiable=False, note="I05")
    samples(name, [values([5.25, -3.5, 0.75], sizes=[batch]), values(2.0)])
samples("pow", [uniform(0.2, 3.0, batch, 5), normal(5)])
samples("pow", [values([-8.0, 0.0, -8.0, 2.0]), values([1 / 3, 0.0, 2.0, -1.0])], differentiable=False, note="I17")
samples("pow", [values([2, 1, -1, -1, 0, 3], DType.INT64), values([-1, -3, -2, -3, -1, 4], DType.INT64)], note="I15")
samples("pow", [values([2, 3], DType.UINT8), values([3, 5], DType.UINT8)])
samples("atan2", [normal(batch, 5), normal(5)])
samples("atan2", [values([0.0, -0.0, 0.0, 1.0]), values([-1.0, -1.0, 1.0, 0.0])], differentiable=False, note="branches")
samples("hypot", [normal(batch, 5), normal(5)])
samples("hypot", [values([0.0, INF, 3.0, NAN]), values([0.0, NAN, 4.0, 1.0])], differentiable=False, note="special")
samples(
    "hypot", [values([1e30, 1e-30]), values([1e30, 1e-30])], dtypes=["float64", "float32", "bfloat16"], note="range"
)
samples("logaddexp", [normal(batch, 5), normal(5)])
samples(
    "logaddexp", [values([-INF, INF, 1e4, -INF]), values([-INF, INF, -1e4, 1.0])], differentiable=False, note="special"
)
samples("copysign", [normal(batch, 4), values([0.0, -0.0, 2.0, -2.0])], differentiable=False)

for name in ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]:
    samples(name, [distinct(batch, 4), distinct(4)])
    samples(name, [integers(-2, 2, batch, dtype=DType.INT64), integers(-2, 2, 1, dtype=DType.INT64)])
    samples(name, [SPECIAL, values([0.0, 0.0, INF, 0.0, INF, INF, NAN])], note="special")
for name in ["equal", "not_equal", "logical_and", "logical_or", "logical_xor"]:
    samples(name, [booleans(batch, 4), booleans(4)])
for name in ["bitwise_and", "bitwise_or", "bitwise_xor"]:
    samples(name, [integers(-99, 99, batch, 4, dtype=DType.INT64), integers(-99, 99, 4, dtype=DType.INT64)])
    samples(name, [values([170, 255], DType.UINT8), values([204, 1], DType.UINT8)])
samples("bitwise_left_shift", [values([1, 1, -3], DType.INT32), values([33, 4, 2], DType.INT32)], note="I18")
samples("bitwise_right_shift", [values([-8, 8, -1], DType.INT32), values([1, 33, 5], DType.INT32)], note="I18")
samples("bitwise_left_shift", [integers(0, 9, batch, dtype=DType.UINT8), integers(0, 7, 1, dtype=DType.UINT8)])
samples(
    "bitwise_right_shift", [values([2**64 - 1, 2**63 + 9, 7, 2**63], DType.UINT64), values([1, 0, 2, 63], DType.UINT64)]
)
samples("bitwise_right_shift", [integers(0, 255, batch, dtype=DType.UINT8), integers(0, 7, 1, dtype=DType.UINT8)])

samples("where", [booleans(batch, 1), normal(batch, 4), normal(4)])
samples("where", [booleans(4), integers(-9, 9, 4, dtype=DType.INT64), integers(-9, 9, dtype=DType.INT64)])
samples("where", [values([True, False]), values([NAN, NAN]), values([1.0, 1.0])], differentiable=False, note="D09")

samples("clip", [normal(batch, 5, scale=2.0), values(-1.0), values(1.0)])
samples("clip", [normal(batch, 5), values([0.1, -0.2, 0.3, -0.4, 0.5]), None])
samples("clip", [normal(5), None, values(0.25)])
samples("clip", [normal(3), None, None])
samples("clip", [values([NAN, 0.0, 5.0]), values(3.0), values(1.0)], differentiable=False, note="A11")
samples("clip", [integers(-9, 9, 6, dtype=DType.INT32), values(-2, DType.INT32), values(3, DType.INT32)])

samples("astype", [normal(batch, 4, scale=9.0)], {"dtype": DType.INT32}, note="I07")
samples("astype", [normal(batch, 4)], {"dtype": DType.FLOAT32})
samples("astype", [values([1.00390625, 1.01171875, 70000.0, -1e9])], {"dtype": DType.BFLOAT16}, note="D11")
samples(
    "astype", [values([65504.0, 70000.0, -1e9])], {"dtype": DType.FLOAT16}, dtypes=["float64", "float32"], note="D10"
)
samples("astype", [values([NAN, 0.5, 0.0, -0.0])], {"dtype": DType.BOOL}, note="I10")
samples("astype", [booleans(batch)], {"dtype": FLOAT})
samples("astype", [integers(-300, 300, batch, 2, dtype=DType.INT64)], {"dtype": FLOAT})
samples("astype", [values([300, -1, 127], DType.INT64)], {"dtype": DType.UINT8}, note="I08")
samples("astype", [normal(4)], {"dtype": DType.COMPLEX64})
samples("bitcast", [values([1, -1, 0], DType.INT32)], {"dtype": DType.FLOAT32})
samples("bitcast", [normal(batch, dtype=DType.FLOAT32)], {"dtype": DType.INT32})
