"""The page in a real browser: it renders, says nothing to the console, in light and dark, as wide as a phone."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType
from kxchange.validation.against import validate_against

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
    "--disable-dev-shm-usage",
)  # fmt: skip


def network(factor=1.0, name="w"):
    entry = Parameter(name, np.float32(factor) * np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8))
    x = placeholder("x", TensorType(DType.FLOAT32, (5, 8)))
    hidden = ops.layer_norm(ops.matmul(x, parameter(name, entry.type)), axes=1, epsilon=1e-5)
    return Model({"main": Function(Graph((x,), (ops.tanh(hidden),)), ("y",))}, [entry])


@pytest.fixture
def browse(tmp_path):
    def run(page, *arguments):
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *arguments, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)

    return run


def size_of(image):
    return struct.unpack(">II", image.read_bytes()[16:24])


def test_the_page_renders(browse, tmp_path):
    page = tmp_path / "report.html"
    report = kx.validate(network(), backends=["numpy"], processes=False, cases=2, depth=True)
    report.rows += validate_against(network(), network(1.01), cases=2).rows
    report.to_html(page)
    done = browse(page, "--dump-dom")
    assert "CONSOLE" not in done.stderr, done.stderr
    assert re.search(r"<h1><span class=\"WRONG\">", done.stdout)
    assert done.stdout.count("<polyline") >= 1
    assert done.stdout.count("<rect") >= 2
    for name, size in (("light", "1280,1600"), ("phone", "390,1600")):
        image = tmp_path / f"{name}.png"
        browse(page, f"--screenshot={image}", f"--window-size={size}")
        assert size_of(image) == tuple(map(int, size.split(",")))


def test_nothing_is_wider_than_a_phone(browse, tmp_path):
    """The width of the content, measured by a script in a copy of the page: hostile names must break or scroll."""
    page = tmp_path / "report.html"
    name = "a.very.long.name.without.any.space." * 8 + "<script>console.log('x')</script>"
    validate_against(network(name=name), network(1.01, name=name), cases=1).to_html(page)
    text = page.read_text(encoding="utf-8")
    policy = next(line for line in text.splitlines() if "Content-Security-Policy" in line)
    measure = "document.title = document.documentElement.scrollWidth"
    frame = text.replace(policy, "").replace("</body>", f"<script>{measure}</script></body>")
    plain = tmp_path / "plain.html"
    plain.write_text(frame.replace("max-width: 62rem", "max-width: 62rem; width: 390px"), encoding="utf-8")
    done = browse(plain, "--dump-dom", "--window-size=390,800")
    width = int(re.findall(r"<title>(\d+)</title>", done.stdout)[0])
    assert width <= 500, width  # headless windows are at least 500 wide
    assert "CONSOLE" not in browse(page, "--dump-dom").stderr
