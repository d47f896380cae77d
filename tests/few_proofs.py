"""Proofs cut short, for tests that run documents and examples: what a full proof finds has tests of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FEW = ("numpy", "onnx")
"""What `all` backends means here."""


def shorten(patch: pytest.MonkeyPatch, backends: tuple[str, ...] = FEW) -> None:
    """Let `all` backends be a few, run in this process, on two cases: seconds in place of minutes."""
    from kxchange.validation import convert, validate
    from kxchange.validation.targets import Runs, choose_targets

    def choose(asked: Any, *, processes: bool = True) -> Any:
        return choose_targets(list(backends) if asked == "all" else asked, processes=False)

    def here(processes: bool, pythons: Any, timeout: float, progress: Any) -> Runs:
        return Runs(False, pythons, timeout, progress)

    make_cases = convert.make_cases
    patch.setattr(validate, "choose_targets", choose)
    patch.setattr(validate, "Runs", here)
    for module in (convert, validate):
        patch.setattr(module, "make_cases", lambda model, *, count, **how: make_cases(model, count=2, **how))


@contextmanager
def at_home(folder: Path, *others: Path) -> Iterator[None]:
    """Work in `folder`, as a user would; what was imported from there (or `others`) and the import path are put back."""
    before, path, modules = Path.cwd(), list(sys.path), set(sys.modules)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            place = str(getattr(sys.modules[name], "__file__", None) or "")
            if any(str(each.resolve()) in place for each in (folder, *others)):
                del sys.modules[name]
