"""More faults of other kinds, by another hand, run before anything was changed for them.

They stand in docs/coverage/held_out_defects.md below the first ones; `held_out` prints both tables.
"""

from __future__ import annotations

import numpy as np
from validation.defects import Catalogue, Net, defect, trap

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType

SECOND: Catalogue = {}
FIRST_RUN = {"found": 28, "named": 27}
"""What the very first run gave, with the rule as it was."""


def second(name: str, *shape: int):
    """Register in this catalogue."""
    return defect(name, *shape, into=SECOND)


@second("sliding window one token wider", 1, 2, 7, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    distance = net.weight(array=(np.arange(7)[:, None] - np.arange(7)[None, :]).reshape(1, 1, 7, 7).astype(np.int32))
    with trap():
        near = ops.less(distance, 4 if faulty else 3)
    return ops.scaled_dot_product_attention(x, x, x, ops.logical_and(near, ops.greater_equal(distance, 0)))


@second("causal mask aligned at the first key instead of the last", 1, 2, 6, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    late = ops.slice(x, starts=(3,), stops=(6,), steps=(1,), axes=(2,))
    rows = np.tril(np.ones((3, 6)), 0 if faulty else 3) > 0
    with trap():
        mask = ops.logical_not(ops.logical_not(net.weight(array=rows.reshape(1, 1, 3, 6))))
    return ops.scaled_dot_product_attention(late, x, x, mask)


@second("scores scaled by the width of all heads", 1, 4, 6, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    with trap():
        return ops.scaled_dot_product_attention(x, x, x, scale=(32 if faulty else 8) ** -0.5)


@second("slopes of distances for the next power of two", 1, 3, 6, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    slopes = np.array([2.0 ** (-8 * (k + 1) / (4 if faulty else 3)) for k in range(3)])
    gap = np.abs(np.arange(6)[:, None] - np.arange(6)[None, :])
    with trap():
        bias = ops.negative(net.weight(array=(slopes[:, None, None] * gap)[None].astype(np.float32)))
    return ops.scaled_dot_product_attention(x, x, x, bias)


@second("soft cap of the scores left out", 4, 16)
def _(net: Net, x: Value, faulty: bool) -> Value:
    with trap():
        return ops.multiply(x, 1.0) if faulty else ops.multiply(ops.tanh(ops.divide(x, 30.0)), 30.0)


@second("scale of a norm stored less one and not added", 4, 16)
def _(net: Net, x: Value, faulty: bool) -> Value:
    stored = net.weight(16)
    with trap():
        return ops.rms_norm(x, stored if faulty else ops.add(stored, 1.0), epsilon=1e-6)


@second("factor of the embedding rounded to bfloat16", 4, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    with trap():
        return ops.multiply(x, 27.75 if faulty else 768**0.5)


@second("frequencies of a rotary embedding rounded to bfloat16", 1, 4, 2, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    frequency = net.weight(array=(10000.0 ** -(np.arange(4) / 4)).astype(np.float32))
    with trap():
        if faulty:
            frequency = ops.astype(ops.astype(frequency, dtype=DType.BFLOAT16), dtype=DType.FLOAT32)
        angle = ops.multiply(net.weight(array=np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1)), frequency)
    angle = ops.concat(angle, angle, axis=3)
    return ops.rotary_embedding(x, ops.cos(angle), ops.sin(angle))


@second("norm after the sum instead of before the branch", 4, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    weights = net.weight(8, 8)
    with trap():
        if faulty:
            return ops.layer_norm(ops.add(x, ops.linear(x, weights)), axes=1, epsilon=1e-5)
        return ops.add(x, ops.linear(ops.layer_norm(x, axes=1, epsilon=1e-5), weights))


@second("shares of the chosen experts not renormalized", 5, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    shares = ops.top_k(ops.softmax(ops.linear(x, net.weight(6, 8)), axis=1), k=2, axis=1)[0]
    with trap():
        if faulty:
            return ops.multiply(shares, 1.0)
        return ops.divide(shares, ops.sum(shares, axis=(1,), keepdims=True))


@second("maximum over zeros of the padding", 1, 3, 5, 5)
def _(net: Net, x: Value, faulty: bool) -> Value:
    below = ops.subtract(x, 3.0)
    one = ((1, 1), (1, 1))
    with trap():
        if faulty:
            below = ops.pad(below, padding=((0, 0), (0, 0), *one))
        none = ((0, 0), (0, 0))
        return ops.max_pool(
            below, window=(3, 3), strides=(2, 2), padding=none if faulty else one, dilations=(1, 1)
        )  # fmt: skip


@second("border repeated instead of zeros", 1, 3, 5, 5)
def _(net: Net, x: Value, faulty: bool) -> Value:
    around = ((0, 0), (0, 0), (1, 1), (1, 1))
    with trap():
        wide = ops.pad(x, padding=around, mode="edge") if faulty else ops.pad(x, padding=around)
    return ops.conv(wide, net.weight(4, 3, 3, 3), strides=(1, 1), padding=((0, 0), (0, 0)), dilations=(1, 1))


@second("channels of groups not shuffled", 1, 6, 4, 4)
def _(net: Net, x: Value, faulty: bool) -> Value:
    with trap():
        grouped = ops.reshape(x, shape=(1, 2, 3, 4, 4) if not faulty else (1, 3, 2, 4, 4))
        return ops.reshape(ops.permute_dims(grouped, axes=(0, 2, 1, 3, 4)), shape=(1, 6, 4, 4))


@second("colors in the other order", 1, 3, 6, 6)
def _(net: Net, x: Value, faulty: bool) -> Value:
    with trap():
        image = ops.flip(x, axis=(1,)) if faulty else ops.add(x, 0.0)
    return ops.conv(image, net.weight(4, 3, 3, 3), strides=(1, 1), padding=((0, 0), (0, 0)), dilations=(1, 1))


@second("divided by the deviation before the mean is taken off", 1, 3, 6, 6)
def _(net: Net, x: Value, faulty: bool) -> Value:
    mean, spread = (
        net.weight(array=np.array(v, np.float32).reshape(3, 1, 1)) for v in ([0.4, 0.5, 0.6], [0.2, 0.3, 0.25])
    )
    with trap():
        return ops.subtract(ops.divide(x, spread), mean) if faulty else ops.divide(ops.subtract(x, mean), spread)


@second("state kept by one minus the update gate", 4, 6)
def _(net: Net, x: Value, faulty: bool) -> Value:
    gate, fresh, state = ops.sigmoid(ops.linear(x, net.weight(6, 6))), ops.tanh(x), ops.sin(x)
    with trap():
        rest = ops.subtract(1.0, gate)
        kept, new = (rest, gate) if faulty else (gate, rest)
        return ops.add(ops.multiply(kept, state), ops.multiply(new, fresh))


@second("one added to the forget gate's bias once more", 3, 5, 6)
def _(net: Net, x: Value, faulty: bool) -> Value:
    bias, unit = net.weight(16), np.repeat([0.0, 1.0, 0.0, 0.0], 4).astype(np.float32)
    with trap():
        biases = ops.add(bias, net.weight(array=unit if faulty else unit * 0))
        return ops.lstm(x, net.weight(16, 6), net.weight(16, 4), biases)[0]


@second("first state of a recurrence ignored", 3, 5, 6)
def _(net: Net, x: Value, faulty: bool) -> Value:
    start, zeros = net.weight(5, 4), net.weight(array=np.zeros((5, 4), np.float32))
    with trap():
        weights = net.weight(12, 6), net.weight(12, 4), net.weight(12), net.weight(12)
        return ops.gru(x, *weights, zeros if faulty else start)[0]


@second("of several updates at one place the last instead of the sum", 6, 4)
def _(net: Net, x: Value, faulty: bool) -> Value:
    table, places = net.weight(5, 4), net.weight(array=np.array([0, 3, 3, 1, 0, 3]))
    index = ops.broadcast_to(ops.expand_dims(places, axis=(1,)), shape=(6, 4))
    with trap():
        return ops.scatter(table, index, x, axis=0, reduction="set" if faulty else "add")


@second("cast to bytes wraps instead of saturating", 4, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    wide = ops.round(ops.multiply(x, 100.0))
    with trap():
        if faulty:
            whole = ops.subtract(ops.remainder(ops.add(wide, 128.0), 256.0), 128.0)
        else:
            whole = ops.clip(wide, -128.0, 127.0)
    return ops.multiply(whole, 0.01)


@second("logarithm of the sum with a small number for the greater of both", 4, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    power = ops.multiply(x, x)
    with trap():
        return ops.log(ops.add(power, 1e-10) if faulty else ops.maximum(power, 1e-10))


@second("decibels of power for those of amplitude", 4, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    level = ops.log(ops.add(ops.abs(x), 1e-3))
    with trap():
        return ops.multiply(level, (10.0 if faulty else 20.0) / np.log(10.0))


@second("window symmetric instead of periodic", 3, 16)
def _(net: Net, x: Value, faulty: bool) -> Value:
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(16) / (15 if faulty else 16))
    with trap():
        return ops.multiply(x, net.weight(array=shape.astype(np.float32)))


@second("dropout still scales", 4, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    with trap():
        return ops.multiply(x, 1.0 / 0.9 if faulty else 1.0)


@second("temperature not taken out of its logarithm", 4, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    learned = net.weight(array=np.array(1.7, np.float32))
    with trap():
        return ops.multiply(x, ops.add(learned, 0.0) if faulty else ops.exp(learned))


@second("square operand of a product not turned", 2, 5, 5)
def _(net: Net, x: Value, faulty: bool) -> Value:
    with trap():
        turned = ops.permute_dims(x, axes=(0, 1, 2) if faulty else (0, 2, 1))
    return ops.matmul(ops.sin(x), turned)


@second("norm of a weight along the other axis of a square", 4, 6)
def _(net: Net, x: Value, faulty: bool) -> Value:
    direction, length = net.weight(6, 6), net.weight(6, 1, change=np.abs)
    with trap():
        size = ops.sqrt(ops.sum(ops.multiply(direction, direction), axis=(0 if faulty else 1,), keepdims=True))
        return ops.linear(x, ops.multiply(ops.divide(direction, size), length))


@second("last token pooled for the first", 1, 5, 8)
def _(net: Net, x: Value, faulty: bool) -> Value:
    at = 4 if faulty else 0
    with trap():
        return ops.slice(x, starts=(at,), stops=(at + 1,), steps=(1,), axes=(1,))
