"""What the documents say runs, and the generated pages are up to date."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_the_readme_example_runs(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    code = "\n".join(BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert "kx.capture" in code
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env={**os.environ}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "SAME" in done.stdout
    assert "WRONG" not in done.stdout
    assert {"net.kx", "net.onnx"} <= {path.name for path in tmp_path.iterdir()}


def test_every_command_of_the_readme_exists():
    from kxchange.cli.group import COMMANDS

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^kx (\w+)", text, re.MULTILINE))
    assert named <= set(COMMANDS)
    assert named == set(COMMANDS)


def test_every_link_of_the_documents_leads_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_generated_pages_are_up_to_date():
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
