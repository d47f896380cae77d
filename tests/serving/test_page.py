"""The page for people, in a real browser where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

import kxchange as kx

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def test_the_page_shows_models_and_proof_and_asks_nobody_else(server):
    pytest.importorskip("jinja2")
    status, headers, page = server.call("/")
    text = page.decode()
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in headers["content-security-policy"]
    assert not re.findall(r"(?:src|href)=[\"'](?:https?:)?//", text)
    assert text.count('<span class="SAME">SAME</span>') == 3
    for name in ("perceptron", "every_datatype", "in_bfloat16", "out_uint64", "[batch, 64]"):
        assert name in text


def test_hostile_names_are_escaped(start, tmp_path):
    from kxchange import ops
    from kxchange.dims import symbol
    from kxchange.graph import Graph, placeholder
    from kxchange.model import Function, Model
    from kxchange.types import DType, TensorType

    hostile = "<img src=x onerror=alert(1)>"
    x = placeholder(hostile, TensorType(DType.FLOAT32, (symbol("n"),)))
    kx.save(Model({"main": Function(Graph((x,), (ops.abs(x),)), ("\"'><script>",))}, []), tmp_path / "odd.kx")
    server = start(tmp_path / "odd.kx")
    text = server.call("/")[2].decode()
    assert "<img src=x" not in text
    assert text.count("<script>") == 1
    assert server.stop() == 0


def test_plots_are_svg(server):
    from xml.etree import ElementTree

    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 64], "data": [1.0] * 64}]}
    assert server.call("/v2/models/perceptron/infer", json.dumps(body).encode())[0] == 200
    for name in ("latency", "throughput"):
        status, headers, drawn = server.call(f"/ui/perceptron/1/{name}.svg")
        assert status == 200
        assert headers["content-type"] == "image/svg+xml"
        assert ElementTree.fromstring(drawn).findall("{*}circle")
    assert server.call("/ui/perceptron/1/other.svg")[0] == 404
    assert server.call("/ui/nothing/1/latency.svg")[0] == 404


@pytest.mark.skipif(BROWSER is None, reason="there is no browser")
def test_the_form_sends_a_real_request(server, tmp_path):
    """In headless Chromium: the page's own script fills the form in, sends it and shows the model's numbers."""
    status, _, page = server.call("/")
    assert status == 200
    drive = (
        "<script>const s = document.querySelector('section[data-model=perceptron]');"
        "s.querySelector('.data').value = Array(64).fill('0.5').join(' ');"
        "s.querySelector('form').requestSubmit();</script>"
    )
    # The page as served, with one more script, from the server's own origin through a proxy of one page.
    text = page.decode().replace("</html>", drive + "</html>")
    dumped = browse(server, text, tmp_path)
    answer = re.search(r'<pre class="answer">(.*?)</pre>', dumped, re.DOTALL)
    assert answer, dumped[-2000:]
    assert "y FP32 [1,10]" in answer[1]
    shown = [float(word) for word in answer[1].split("\n")[1].split(",")]
    np.testing.assert_allclose(shown, expected(), rtol=1e-5)


def expected() -> np.ndarray:
    from serving_models import perceptron

    return perceptron()(x=np.full((1, 64), 0.5, np.float32))["y"][0]


def browse(server, text: str, folder) -> str:
    """The page's elements after its scripts ran."""
    import http.server
    import threading

    class Proxy(http.server.BaseHTTPRequestHandler):
        """Our page at /, everything else from the server."""

        def do_GET(self):
            if self.path == "/":
                return self.reply(200, "text/html", text.encode())
            status, headers, body = server.call(self.path)
            return self.reply(status, headers["content-type"], body)

        def do_POST(self):
            data = self.rfile.read(int(self.headers["content-length"]))
            given = {"Inference-Header-Content-Length": self.headers["inference-header-content-length"]}
            status, headers, body = server.call(self.path, data, given)
            self.reply(status, headers["content-type"], body)

        def reply(self, status, kind, body):
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        command = [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server",
            f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
            f"http://127.0.0.1:{proxy.server_port}/",
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout
    finally:
        proxy.shutdown()
