"""Losses."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.reshaping import product
from kxchange_torch.lift import lift
from kxchange_torch.lift_creation import full
from kxchange_torch.lift_promotion import cast, promote

NONE, MEAN, SUM = 0, 1, 2


def reduced(loss: Value, reduction: int) -> Value:
    """Every element, their mean, or their sum."""
    if reduction == NONE:
        return loss
    return (ops.mean if reduction == MEAN else ops.sum)(loss, axis=None if loss.ndim else ())


@lift.rule("aten.mse_loss.default")
def _(x: Value, target: Value, reduction: int) -> Value:
    return reduced(ops.square(ops.subtract(*promote(x, target))), reduction)


@lift.rule("aten.l1_loss.default")
def _(x: Value, target: Value, reduction: int) -> Value:
    return reduced(ops.abs(ops.subtract(*promote(x, target))), reduction)


@lift.rule("aten.smooth_l1_loss.default")
def _(x: Value, target: Value, reduction: int, beta: float) -> Value:
    gap = ops.abs(ops.subtract(*promote(x, target)))
    if beta == 0:
        return reduced(gap, reduction)
    curve = ops.divide(ops.multiply(ops.square(gap), 0.5), beta)
    return reduced(ops.where(ops.less(gap, beta), curve, ops.subtract(gap, 0.5 * beta)), reduction)


@lift.rule("aten.huber_loss.default")
def _(x: Value, target: Value, reduction: int, delta: float) -> Value:
    gap = ops.abs(ops.subtract(*promote(x, target)))
    line = ops.multiply(ops.subtract(gap, 0.5 * delta), delta)
    return reduced(ops.where(ops.less_equal(gap, delta), ops.multiply(ops.square(gap), 0.5), line), reduction)


@lift.rule("aten.binary_cross_entropy.default")
def _(x: Value, target: Value, weight: Value | None, reduction: int) -> Value:
    """Logarithms are clamped at -100, as torch does."""
    yes = ops.clip(ops.log(x), -100.0, None)
    no = ops.clip(ops.log1p(ops.negative(x)), -100.0, None)
    loss = ops.subtract(ops.multiply(ops.subtract(target, 1.0), no), ops.multiply(target, yes))
    return reduced(loss if weight is None else ops.multiply(loss, weight), reduction)


@lift.rule("aten.binary_cross_entropy_with_logits.default")
def _(x: Value, target: Value, weight: Value | None, positive: Value | None, reduction: int) -> Value:
    x, target = promote(x, target)
    no = ops.subtract(1.0, target)
    if positive is None:
        loss = ops.subtract(ops.multiply(no, x), ops.log_sigmoid(x))
    else:
        gain = ops.add(ops.multiply(ops.subtract(positive, 1.0), target), 1.0)
        loss = ops.subtract(ops.multiply(no, x), ops.multiply(gain, ops.log_sigmoid(x)))
    return reduced(loss if weight is None else ops.multiply(loss, weight), reduction)


@lift.rule("aten.kl_div.default")
def _(x: Value, target: Value, reduction: int, log_target: bool) -> Value:
    if log_target:
        return reduced(ops.multiply(ops.exp(target), ops.subtract(target, x)), reduction)
    entropy = ops.where(ops.equal(target, 0), 0.0, ops.multiply(target, ops.log(target)))
    return reduced(ops.subtract(entropy, ops.multiply(target, x)), reduction)


def nll(logits: Value, target: Value, weight: Value | None, reduction: int, ignored: int) -> tuple[Value, Value]:
    """Negative log likelihood over the class axis, and the weight it was divided by."""
    axis = 1 if logits.ndim > 1 else 0
    valid = ops.not_equal(target, ignored)
    safe = ops.where(valid, target, 0)
    chosen = ops.take_along_axis(logits, ops.expand_dims(safe, axis=(axis,)), axis=axis)
    picked = ops.squeeze(chosen, axis=(axis,))
    scale = cast(valid, logits.dtype)
    if weight is not None:
        scale = ops.multiply(scale, ops.take(weight, safe, axis=0))
    loss = ops.where(valid, ops.multiply(ops.negative(picked), scale), 0.0)
    total = reduced(scale, SUM)
    if reduction == MEAN:
        return ops.divide(reduced(loss, SUM), total), total
    return reduced(loss, reduction), total


@lift.rule("aten.nll_loss.default", "aten.nll_loss_nd.default", "aten.nll_loss2d.default")
def _(logits: Value, target: Value, weight: Value | None, reduction: int, ignored: int) -> Value:
    return nll(logits, target, weight, reduction, ignored)[0]


@lift.rule("aten.nll_loss_forward.default", "aten.nll_loss2d_forward.default")
def _(logits: Value, target: Value, weight: Value | None, reduction: int, ignored: int) -> tuple[Value, Value]:
    loss, total = nll(logits, target, weight, reduction, ignored)
    return loss, total if reduction == MEAN else full((), 0, logits.dtype)


@lift.rule("aten.cross_entropy_loss.default")
def cross_entropy(
    logits: Value, target: Value, weight: Value | None, reduction: int, ignored: int, smoothing: float
) -> Value:
    """The loss of logits against classes or their probabilities."""
    axis = 1 if logits.ndim > 1 else 0
    log = ops.log_softmax(logits, axis=axis)
    if target.dtype.is_floating:
        return _soft(log, target, weight, reduction, smoothing, axis)
    loss, total = nll(log, target, weight, reduction, ignored)
    if not smoothing:
        return loss
    classes = logits.shape[axis]
    weighted = log if weight is None else ops.multiply(log, _on_axis(weight, log, axis))
    spread = ops.where(ops.not_equal(target, ignored), ops.negative(ops.sum(weighted, axis=(axis,))), 0.0)
    smooth = ops.divide(reduced(spread, SUM), total) if reduction == MEAN else reduced(spread, reduction)
    share = smoothing / classes if isinstance(classes, int) else ops.divide(full((), smoothing, log.dtype), classes)
    return ops.add(ops.multiply(loss, 1 - smoothing), ops.multiply(smooth, share))


def _on_axis(weight: Value, like: Value, axis: int) -> Value:
    return ops.reshape(weight, shape=tuple(-1 if i == axis else 1 for i in range(like.ndim)))


def _soft(log: Value, target: Value, weight: Value | None, reduction: int, smoothing: float, axis: int) -> Value:
    """Cross entropy with class probabilities; the mean is over everything but the classes."""
    classes: Any = log.shape[axis]
    target = cast(target, log.dtype)
    if smoothing:
        target = ops.add(ops.multiply(target, 1 - smoothing), smoothing / classes)
    terms = ops.multiply(log, target)
    if weight is not None:
        terms = ops.multiply(terms, _on_axis(weight, log, axis))
    loss = ops.negative(ops.sum(terms, axis=(axis,)))
    if reduction != MEAN:
        return reduced(loss, reduction)
    count = product(size for i, size in enumerate(log.shape) if i != axis)
    return ops.divide(reduced(loss, SUM), count)
