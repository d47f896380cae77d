"""Real model files with recorded inputs and outputs, where a checkout has them beside it; else tests that want them skip.

The folder is ``../shared/corpus`` beside the repository, or what the environment variable ``KXCHANGE_CORPUS`` names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(os.environ.get("KXCHANGE_CORPUS") or Path(__file__).parent.parent.parent / "shared" / "corpus")


@dataclass(frozen=True)
class Recorded:
    """One call that was recorded in the file's own runtime."""

    signature: str | None
    inputs: dict[str, Any]
    outputs: dict[str, Any]


@dataclass(frozen=True)
class CorpusEntry:
    """One model of the corpus."""

    folder: Path
    meta: dict[str, Any]

    @property
    def path(self) -> Path:
        """The file or folder to load."""
        marked = next(iter(sorted(self.folder.rglob("saved_model.pb"))), None)
        return marked.parent if marked else self.folder / self.meta["files"][0]["file"]

    def cases(self) -> Iterator[Recorded]:
        """Every recorded call."""
        arrays = np.load(self.folder / "io.npz", allow_pickle=False)
        signatures = self.meta.get("case_signatures") or [None] * len(self.meta["cases"])
        for signature, case in zip(signatures, self.meta["cases"], strict=True):
            named = [{item["name"]: arrays[item["key"]] for item in case[side]} for side in ("inputs", "outputs")]
            yield Recorded(signature, *named)


def corpus(name: str) -> CorpusEntry:
    """The entry of this name; skips the test where there is none."""
    folder = ROOT / name
    if not (folder / "meta.json").is_file():
        pytest.skip(f"the corpus has no {name} here")
    return CorpusEntry(folder, json.loads((folder / "meta.json").read_text(encoding="utf-8")))
