"""`keras.ops.nn` by class of operation: losses, as the losses and metrics of Keras compute them."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_keras.call import Call, cast
from kxchange_keras.promotion import float_of, promoted, value_of
from kxchange_keras.registry import operation

EPSILON = 1e-7
"""`keras.config.epsilon()`: how far probabilities are kept from 0 and 1."""


def _inside(x: Value) -> Value:
    return ops.clip(x, EPSILON, 1.0 - EPSILON)


@operation("BinaryCrossentropy")
def _(call: Call, target: Any, output: Any) -> Value:
    truth, guess = promoted(call, value_of(call, target), value_of(call, output), floating=True)
    if call.option("from_logits", False):
        return ops.subtract(ops.softplus(guess), ops.multiply(guess, truth))
    guess = _inside(guess)
    yes = ops.multiply(truth, ops.log(guess))
    no = ops.multiply(ops.subtract(1.0, truth), ops.log(ops.subtract(1.0, guess)))
    return ops.negative(ops.add(yes, no))


def _log_shares(call: Call, guess: Value, axis: int) -> Value:
    """Logarithms of probabilities that add up to 1."""
    if call.option("from_logits", False):
        return ops.log_softmax(guess, axis=axis)
    total = ops.sum(guess, axis=(axis % guess.ndim,), keepdims=True)
    return ops.log(_inside(ops.divide(guess, total)))


@operation("CategoricalCrossentropy")
def _(call: Call, target: Any, output: Any) -> Value:
    truth, guess = promoted(call, value_of(call, target), value_of(call, output), floating=True)
    axis = int(call.option("axis", -1))
    terms = ops.multiply(truth, _log_shares(call, guess, axis))
    return ops.negative(ops.sum(terms, axis=(axis % guess.ndim,)))


@operation("SparseCategoricalCrossentropy")
def _(call: Call, target: Any, output: Any) -> Value:
    guess, truth = float_of(call, output), value_of(call, target)
    axis = int(call.option("axis", -1)) % guess.ndim
    if truth.ndim == guess.ndim and truth.shape[-1] == 1:
        truth = ops.squeeze(truth, axis=(truth.ndim - 1,))
    places = ops.expand_dims(truth if truth.dtype.is_integer else cast(truth, DType.INT32), axis=(axis,))
    found = ops.take_along_axis(_log_shares(call, guess, axis), places, axis=axis)
    return ops.negative(ops.squeeze(found, axis=(axis,)))


@operation("InTopK")
def _(call: Call, targets: Any, predictions: Any) -> Value:
    """Whether fewer than k predictions are above that of the target."""
    scores, places = float_of(call, predictions), value_of(call, targets)
    own = ops.take_along_axis(scores, ops.expand_dims(places, axis=(1,)), axis=1)
    above = ops.sum(cast(ops.greater(scores, own), DType.INT32), axis=(1,))
    return ops.less(above, int(call.option("k")))


@operation("PSNR")
def _(call: Call, x1: Any, x2: Any) -> Value:
    first, second = promoted(call, value_of(call, x1), value_of(call, x2), floating=True)
    error = ops.mean(ops.square(ops.subtract(first, second)), axis=tuple(range(first.ndim)))
    limit = float(call.option("max_val"))
    return ops.multiply(ops.log10(ops.divide(limit * limit, error)), 10.0)
