"""Integers and floats of 64 bits, which JAX cuts without a word unless it is told not to."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras


def sixty_four_bits() -> AbstractContextManager[Any]:
    """A scope in which the backend keeps 64-bit types."""
    if keras.backend.backend() != "jax":
        return nullcontext()
    import jax

    return jax.enable_x64(True)
