"""Samples of attention, embeddings and rotary encoding."""

from __future__ import annotations

from math import inf

from kxchange.testing.samples import Operand, booleans, integers, normal, samples, uniform, values

BATCH, SEQ, KEYS = ("batch", 2), ("seq", 3), ("keys", 4)
SDPA = "scaled_dot_product_attention"


def _operands(heads: int = 2, key_heads: int = 2) -> list[Operand | None]:
    return [normal(BATCH, heads, SEQ, 8), normal(BATCH, key_heads, KEYS, 8), normal(BATCH, key_heads, KEYS, 6)]


samples(SDPA, [*_operands(), None])
samples(SDPA, [*_operands(), None], {"scale": 0.5})
samples(SDPA, [*_operands(), booleans(BATCH, 1, SEQ, KEYS)])
samples(SDPA, [*_operands(), booleans(SEQ, KEYS)])
samples(SDPA, [*_operands(), booleans(BATCH, 1, 1, KEYS)], {"is_causal": True})
samples(SDPA, [*_operands(), normal(1, 1, SEQ, KEYS)])
samples(SDPA, [*_operands(), normal(BATCH, 2, 1, KEYS)], {"scale": 1.0})
samples(SDPA, [*_operands(4, 2), None], note="grouped")
samples(SDPA, [*_operands(6, 2), booleans(BATCH, 6, SEQ, KEYS)], note="grouped")
samples(SDPA, [*_operands(4, 1), None], {"is_causal": True}, note="grouped")
samples(SDPA, [normal(3, SEQ, 4), normal(3, KEYS, 4), normal(3, KEYS, 4), booleans(SEQ, KEYS)])
samples(SDPA, [normal(SEQ, 4), normal(KEYS, 4), normal(KEYS, 2), None])
samples(SDPA, [normal(2, 3, 1, SEQ, 4), normal(2, 3, 1, KEYS, 4), normal(2, 3, 1, KEYS, 4), None])
samples(SDPA, [normal(1, 1, 2, 4), normal(1, 1, 3, 4), normal(1, 1, 3, 4), None], {"is_causal": True}, note="T09")
samples(SDPA, [normal(1, 1, 4, 4), normal(1, 1, 2, 4), normal(1, 1, 2, 4), None], {"is_causal": True}, note="T09")
_SMALL = [normal(1, 1, 2, 4), normal(1, 1, 3, 4), normal(1, 1, 3, 4)]
samples(SDPA, [*_SMALL, values([[False, False, False], [True, False, True]])], note="T08")
samples(SDPA, [*_SMALL, values([[-inf, -inf, -inf], [0.0, -inf, 0.5]])], note="T08")
LOWEST = -3.4028234663852886e38  # what sources write for "masked": finite, so a row of only that is an average
lowest = values([[LOWEST, LOWEST, LOWEST], [0.0, LOWEST, 0.5]])
samples(SDPA, [*_SMALL, lowest], dtypes=("float64", "float32"), differentiable=False)  # no difference quotient there
samples(SDPA, [*_SMALL, values([[False, True, True], [True, False, True]])], {"is_causal": True}, note="T08")

samples("embedding", [normal(7, 4), integers(0, 7, BATCH, SEQ)])
samples("embedding", [normal(7, 4), integers(-7, 7, 5, dtype="int32")], {"padding_index": 0})
samples("embedding", [normal(("rows", 5), 4), values(2, "int64")])

for interleaved in (False, True):
    angles = [uniform(-1.0, 1.0, SEQ, 8), uniform(-1.0, 1.0, SEQ, 8)]
    samples("rotary_embedding", [normal(BATCH, 2, SEQ, 8), *angles], {"interleaved": interleaved}, note="T12")
    shaped = [uniform(-1.0, 1.0, BATCH, SEQ, 1, 4), uniform(-1.0, 1.0, BATCH, SEQ, 1, 4)]
    samples("rotary_embedding", [normal(BATCH, SEQ, 2, 4), *shaped], {"interleaved": interleaved})
