"""Converting a model beside the converters that people use, each conversion in a process of its own.

Peers that are not installed are left out. They may live in another environment, which must also have the frameworks:
``KXCHANGE_PEERS=/path/to/python make bench ARGS=convert``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.conversions import Conversion, conversions
from benchmarks.rows import PeerError, Row, fresh

TITLE = "Convert"
ABOUT = (
    "From the model to what the other framework takes: wall time, and peak memory above what the model itself takes. "
    "Both sides leave validation out; imports are not counted. Random weights; the Transformers models have four layers "
    "of width 256."
)
PYTHON = os.environ.get("KXCHANGE_PEERS", sys.executable)
ROOT = Path(__file__).parent.parent


def _prelude(folder: Path, name: str) -> str:
    paths = f"source, out = {str(folder / 'source.onnx')!r}, {str(folder / name)!r}"
    return f"sys.path.insert(0, {str(ROOT)!r})\n{paths}\n"


def _installed(package: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([PYTHON, "-c", code], check=False).returncode == 0


def measure(case: Conversion, folder: Path) -> Iterator[Row]:
    """Seconds and megabytes of one conversion."""
    if not _installed(case.package):
        print(f"  {case.case}: {case.package} is not installed")
        return
    try:
        if case.source:
            fresh(_prelude(folder, "") + case.source, "", python=PYTHON)
        own = _prelude(folder, f"ours{case.suffix}") + f"import kxchange as kx\n{case.imports}\n{case.setup}"
        other = _prelude(folder, f"theirs{case.suffix}") + f"{case.peer_imports}\n{case.setup}"
        ours, theirs = fresh(own, case.work), fresh(other, case.peer_work, python=PYTHON)
    except PeerError as error:
        print(f"  {case.case}: not measured: {error}")
        return
    yield Row(case.case, case.peer, ours["s"], theirs["s"], "s", 1.0)
    yield Row(f"{case.case}, memory", case.peer, ours["MB"], theirs["MB"], "MB")


def rows() -> Iterator[Row]:
    """Every conversion whose peer is there."""
    for case in conversions():
        with tempfile.TemporaryDirectory() as name:
            yield from measure(case, Path(name))
