"""Training and evaluation mode of what is captured: the trace is in evaluation mode, and says so where that matters."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from kxchange.errors import KxchangeWarning
from kxchange.user_code import relative_file
from kxchange_torch.sources_in import is_framework

MODAL = (
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
"""Layers that compute something else in training mode."""


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Eval mode for every submodule, and the modes they had again afterwards; attention's fast path is off."""
    modes = {child: child.training for child in module.modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    module.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for child, mode in modes.items():
            child.training = mode


@contextmanager
def recording_mode_questions(module: nn.Module, found: dict[str, str]) -> Iterator[None]:
    """Note every line of the user's code that reads `training` of a module which is in training mode as it stands.

    ``F.dropout(x, training=self.training)`` leaves nothing in a trace that runs in evaluation mode.
    """
    live = {id(child) for child in module.modules() if child.training}

    def read(self: nn.Module) -> bool:
        frame = sys._getframe(1)
        if id(self) in live and not is_framework(frame.f_code.co_filename):
            place = f"{relative_file(frame.f_code.co_filename)}:{frame.f_lineno}"
            found.setdefault(place, type(self).__name__)
        return self.__dict__.get("training", True)

    def write(self: nn.Module, value: bool) -> None:
        self.__dict__["training"] = value

    if not live:
        yield
        return
    nn.Module.training = property(read, write)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        del nn.Module.training


def say_that_it_evaluates(module: nn.Module, questions: Mapping[str, str], training: bool) -> None:
    """Warn where the module would do something else as it stands: live layers, and lines that ask for the mode.

    With `training` the caller knows, and nothing is said.
    """
    layers = [repr(name) for name, child in module.named_modules() if child.training and _matters(child)]
    lines = [f"{kind} at {place}" for place, kind in questions.items()]
    live = layers + lines
    if live and not training:
        listed = ", ".join(live[:4]) + (f" and {len(live) - 4} more" if len(live) > 4 else "")
        warnings.warn(
            f"{type(module).__name__} is in training mode, and is captured as it is in evaluation mode: {listed} would "
            "act differently. Call eval() before the capture, or pass training=True to keep dropout in the model.",
            KxchangeWarning,
            stacklevel=5,
        )


def _matters(child: nn.Module) -> bool:
    """Whether a layer's mode changes what it gives: dropout that drops, statistics that are kept."""
    held: Any = child
    return isinstance(child, MODAL) and bool(getattr(held, "p", 0) or getattr(held, "track_running_stats", False))
