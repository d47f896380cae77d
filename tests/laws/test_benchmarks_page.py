"""Law: the page of the benchmarks says what was measured, no more."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest


def test_the_page_is_made_from_the_figures(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.delitem(sys.modules, "benchmarks", raising=False)
    page = importlib.import_module("benchmarks.page")
    assert page.PAGE.read_text(encoding="utf-8") == page.render(page.stored())
    assert set(page.stored()) <= set(page.SECTIONS)
