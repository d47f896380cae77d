"""Flax Linen models for the benchmarks, as users write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax


class Cnn(nn.Module):
    """Convolutions with group norm, pooled, classified."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        for width in (32, 64, 128, 256):
            x = nn.relu(nn.GroupNorm(num_groups=8)(nn.Conv(width, (3, 3))(x)))
            x = nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        return nn.Dense(10)(x.mean(axis=(1, 2)))


class Block(nn.Module):
    """A transformer layer, norms first."""

    width: int

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = x + nn.MultiHeadDotProductAttention(num_heads=4)(nn.LayerNorm()(x))
        return x + nn.Dense(self.width)(nn.gelu(nn.Dense(4 * self.width)(nn.LayerNorm()(x))))


class Transformer(nn.Module):
    """An encoder of four layers."""

    width: int = 256

    @nn.compact
    def __call__(self, x: Any) -> Any:
        for _ in range(4):
            x = Block(self.width)(x)
        return nn.LayerNorm()(x)


MODELS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "cnn": lambda: (Cnn(), jax.random.normal(jax.random.key(1), (2, 64, 64, 3))),
    "transformer": lambda: (Transformer(), jax.random.normal(jax.random.key(1), (2, 64, 256))),
}
