"""Lowering of activations that `jax.nn` has under the same definition; the others decompose."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from kxchange.table import Table
from kxchange_jax.lower_reduction import in_float32

Array = Any

lower = Table("jax")
lower.direct(
    hard_swish=jax.nn.hard_swish,
    log_sigmoid=in_float32(jax.nn.log_sigmoid),
    mish=in_float32(jax.nn.mish),
    relu=jax.nn.relu,
    sigmoid=jax.nn.sigmoid,
    silu=in_float32(jax.nn.silu),
    softsign=in_float32(jax.nn.soft_sign),
)


@lower.rule("relu6", when=lambda node: node.types[0].dtype.is_floating)
def _(x: Array) -> Array:
    return jax.nn.relu6(x)


@lower.rule("gelu")
@in_float32
def _(x: Array, *, approximate: str) -> Array:
    return jax.nn.gelu(x, approximate=approximate == "tanh")


@lower.rule("leaky_relu")
def _(x: Array, *, negative_slope: float) -> Array:
    return jax.nn.leaky_relu(x, negative_slope)


@lower.rule("elu")
@in_float32
def _(x: Array, *, alpha: float) -> Array:
    return jax.nn.elu(x, alpha)


@lower.rule("celu")
@in_float32
def _(x: Array, *, alpha: float) -> Array:
    return jax.nn.celu(x, alpha)


@lower.rule("selu")
@in_float32
def _(x: Array) -> Array:
    return jax.nn.selu(x)


@lower.rule("softplus", when=lambda node: node.attrs["beta"] == 1.0 and node.attrs["threshold"] == math.inf)
@in_float32
def _(x: Array, *, beta: float, threshold: float) -> Array:
    return jax.nn.softplus(x)


@lower.rule("softmax", when=lambda node: bool(node.types[0].rank))
@in_float32
def _(x: Array, *, axis: int) -> Array:
    return jax.nn.softmax(x, axis=axis)


@lower.rule("log_softmax", when=lambda node: bool(node.types[0].rank))
@in_float32
def _(x: Array, *, axis: int) -> Array:
    return jax.nn.log_softmax(x, axis=axis)


@lower.rule("glu", when=lambda node: isinstance(node.types[0].shape[node.attrs["axis"]], int))
@in_float32
def _(x: Array, *, axis: int) -> Array:
    return jax.nn.glu(x, axis=axis)


@lower.rule("dropout")
def _(x: Array, *, rate: float) -> Array:
    return jnp.asarray(x)
