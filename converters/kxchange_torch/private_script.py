"""The private API of torch that reads TorchScript; a test names it."""

from __future__ import annotations

import importlib
from typing import Any


def script_converted(source: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What torch's own converter makes of a TorchScript module: an exported program."""
    return importlib.import_module("torch._export.converter").TS2EPConverter(source, args, kwargs or None).convert()
