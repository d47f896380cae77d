"""Questions of torch's own about values and sizes, which a trace need not answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def asking_no_values() -> Iterator[None]:
    """Silence torch's own questions about values and sizes whose answer changes speed or errors, never a result.

    Whether a mask happens to be causal, whether a distribution's arguments are valid, in which order to contract.
    """
    layers: Any = torch.nn.modules.transformer
    distribution: Any = torch.distributions.Distribution
    einsum: Any = torch.backends.opt_einsum
    original = layers._detect_is_causal_mask, distribution._validate_args, einsum.enabled
    layers._detect_is_causal_mask = lambda mask, is_causal=None, size=None: is_causal is True
    distribution._validate_args, einsum.enabled = False, False
    try:
        yield
    finally:
        layers._detect_is_causal_mask, distribution._validate_args, einsum.enabled = original
