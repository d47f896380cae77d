"""Numbers that a module keeps in its own attributes and changes while it runs: a graph cannot keep them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from kxchange.errors import KxchangeWarning

T = TypeVar("T")
PLAIN = (bool, int, float, str)
Kept = dict[tuple[str, str], Any]


def kept_numbers(module: nn.Module) -> Kept:
    """Public numbers and strings of a module and all that are in it, by path and attribute."""
    return {
        (path, name): value
        for path, child in module.named_modules()
        for name, value in vars(child).items()
        if type(value) in PLAIN and not name.startswith("_") and name != "training"
    }


def warning_of_changes(module: nn.Module, trace: Callable[[], T]) -> T:
    """What `trace` gives, with a warning where it changes one: the captured model has what that call saw, for ever.

    The tracer undoes the changes, so they are looked at as `forward` returns.
    """
    before, after = kept_numbers(module), dict[tuple[str, str], Any]()

    def look(*_: Any) -> None:
        after.update(kept_numbers(module))

    handle = module.register_forward_hook(look)
    try:
        result = trace()
    finally:
        handle.remove()
    changed = [key for key, value in before.items() if after.get(key, value) != value]
    if not changed:
        return result
    listed = ", ".join(
        f"{'.'.join(filter(None, ('self', *key)))} ({before[key]!r} to {after[key]!r})" for key in changed[:4]
    )
    warnings.warn(
        f"{type(module).__name__}.forward changes {listed}; the captured model has what the trace saw at every call. "
        "Keep what changes in a buffer (register_buffer), which becomes a state, or pass it as an input.",
        KxchangeWarning,
        stacklevel=6,
    )
    return result
