"""Every script and every notebook in examples/ runs."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from few_proofs import at_home, shorten

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PROCESSES = {"demo.py": "`make demo` runs it", "serve_and_query.py": "it starts a server"}
SCRIPTS = [
    pytest.param(path, marks=pytest.mark.slow) if path.name in PROCESSES else path
    for path in sorted(EXAMPLES.glob("*.py"))
]
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.fixture(autouse=True)
def installed():
    for package in ("torch", "jax", "flax", "tensorflow", "keras", "onnxruntime", "sklearn"):
        pytest.importorskip(package)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_end_well(script, tmp_path, monkeypatch, capsys):
    shorten(monkeypatch)
    monkeypatch.setattr(sys, "argv", [str(script)])
    with at_home(tmp_path, EXAMPLES), pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0, capsys.readouterr().out


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_run_from_top_to_bottom(notebook, tmp_path, monkeypatch):
    shorten(monkeypatch)
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    namespace = {"__name__": "__main__"}
    with at_home(tmp_path / "examples"):
        for number, code in enumerate(cells(notebook), 1):
            exec(compile(code, f"{notebook.name} [{number}]", "exec"), namespace)


def cells(notebook: Path) -> list[str]:
    """The code of a notebook."""
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_stored_without_outputs(notebook):
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_there_are_two_notebooks():
    assert len(NOTEBOOKS) >= 2
