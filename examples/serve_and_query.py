"""Serve a trained classifier in a process of its own, ask it over HTTP, and stop it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import kxchange as kx

HERE = Path(__file__).parent / "digits"
sys.path.insert(0, str(HERE))

from data import load  # noqa: E402
from models import ConvolutionalNetwork  # noqa: E402


def ask(address: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that an address answers."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(address, data), timeout=30) as answer:
        return json.loads(answer.read() or b"{}")


def wait_until_ready(address: str, server: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Ready means proven: it takes some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            ask(f"{address}/v2/health/ready")
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise SystemExit("the server did not become ready")


def main() -> int:
    net = ConvolutionalNetwork()
    net.load_state_dict(load_file(HERE / "convolutional.safetensors"))
    _, images, _, labels = load()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        kx.save(kx.capture(net.eval(), torch.rand(2, 1, 8, 8)), f"{folder}/digits.kx")
        command = [sys.executable, "-m", "kxchange", "serve", f"{folder}/digits.kx", "--port", str(port), "-q"]
        server = subprocess.Popen(command)
        try:
            wait_until_ready(address, server)
            shown = images[:20]
            tensor = {"name": "image", "shape": list(shown.shape), "datatype": "FP32", "data": shown.ravel().tolist()}
            answer = ask(f"{address}/v2/models/digits/infer", {"inputs": [tensor]})
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
    logits = torch.tensor(answer["outputs"][0]["data"]).reshape(answer["outputs"][0]["shape"])
    right = int((logits.argmax(1).numpy() == labels[:20]).sum())
    print(f"{right} of 20 images classified correctly, over HTTP")
    return 0 if right >= 18 else 1


if __name__ == "__main__":
    sys.exit(main())
