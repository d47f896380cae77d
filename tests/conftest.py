"""What every test starts from: a quiet, offline process and the repository's own files."""

from __future__ import annotations

import ast
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# Two test processes share two cores: one thread each, and nothing may reach for the network.
for _name, _value in {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "JAX_PLATFORMS": "cpu",
}.items():
    os.environ.setdefault(_name, _value)

# Backends that compile each case: `make test` runs a fixed share of their sweep, `make conformance` all of it.
SAMPLED = {"test_jax_lowering.py": 5, "test_tensorflow_lowering.py": 5, "test_keras_lowering.py": 5}
FULL = "KXCHANGE_FULL"

# A loaded machine is not a slow function.
settings.register_profile("kxchange", deadline=None)
settings.load_profile("kxchange")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """What a test draws without a seed of its own is the same in every run and order."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def files() -> list[str]:
    """Every file of the repository, tracked or about to be, relative to its top."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0 and listed.stdout:
        return sorted(name for name in set(listed.stdout.split("\0")) if name and (ROOT / name).is_file())
    return sorted(_walk(ROOT))


def _walk(top: Path) -> list[str]:
    """The same without git (an unpacked archive): what hides, and what Python or a build left, is not ours."""
    found: list[str] = []
    for folder, names, leaves in os.walk(top):
        names[:] = [n for n in names if n not in {"__pycache__", "build", "dist"} and not n.endswith(".egg-info")]
        names[:] = [n for n in names if not n.startswith(".") or n == ".ci"]
        found += [(Path(folder) / leaf).relative_to(top).as_posix() for leaf in leaves if not leaf.endswith(".pyc")]
    return found


@pytest.fixture(scope="session")
def trees(files: list[str]) -> Mapping[str, ast.Module]:
    """The syntax tree of every Python file that ships: path -> module."""
    shipped = [name for name in files if name.endswith(".py") and name.startswith(("kxchange/", "converters/"))]
    return {name: ast.parse((ROOT / name).read_text(encoding="utf-8"), name) for name in shipped}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep one in N of the sampled sweeps, always the same ones."""
    if os.environ.get(FULL):
        return
    left_out = [
        item
        for item in items
        if (share := SAMPLED.get(item.path.name)) and "[" in item.name and zlib.crc32(item.name.encode()) % share
    ]
    if left_out:
        chosen = set(map(id, left_out))
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if id(item) not in chosen]
