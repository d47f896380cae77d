"""A server of its own process, as users run it, and the models that it serves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.dims import symbol
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType

for module in ("onnxruntime", "uvicorn", "uvloop", "httptools", "orjson"):
    pytest.importorskip(module)

PLAIN = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "bfloat16",
    "float32", "float64",
)  # fmt: skip


def perceptron() -> Model:
    rng = np.random.default_rng(0)
    shapes = {"w1": (64, 64), "b1": (64,), "w2": (10, 64), "b2": (10,)}
    held = {name: Parameter(name, (rng.normal(size=s) / 8).astype(np.float32)) for name, s in shapes.items()}
    read = {name: parameter(name, entry.type) for name, entry in held.items()}
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 64)))
    hidden = ops.relu(ops.linear(x, read["w1"], read["b1"]))
    graph = Graph((x,), (ops.linear(hidden, read["w2"], read["b2"]),))
    return Model({"main": Function(graph, ("y",))}, held)


def every_datatype() -> Model:
    """Each input comes back reversed along its only dynamic axis."""
    inputs = [placeholder(f"in_{name}", TensorType(DType(name), (symbol("n"), 2))) for name in PLAIN]
    outputs = tuple(ops.flip(value, axis=(0,)) for value in inputs)
    return Model({"main": Function(Graph(tuple(inputs), outputs), tuple(f"out_{name}" for name in PLAIN))}, [])


def centred() -> Model:
    """Each sample's result depends on the others of its batch."""
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 4)))
    graph = Graph((x,), (ops.subtract(x, ops.mean(x, axis=(0,), keepdims=True)),))
    return Model({"main": Function(graph, ("y",))}, [])


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    made = {"perceptron": perceptron, "every_datatype": every_datatype, "centred": centred}
    for name, make in made.items():
        kx.save(make(), folder / f"{name}.kx")
    return {name: folder / f"{name}.kx" for name in made}


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@dataclass
class Running:
    """A server process, and where it listens."""

    process: subprocess.Popen
    log: Path
    http: str = ""
    grpc: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def call(self, path: str, data: bytes | None = None, headers: dict | None = None, method: str | None = None):
        """Status, headers and body."""
        request = urllib.request.Request(self.url + path, data, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, dict(reply.headers), reply.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def memory(self) -> int:
        """Resident bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS"))

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture(scope="session")
def start(cache, tmp_path_factory):
    """Start `kx serve` with arguments; waits until it is ready, or until it ends."""
    running: list[Running] = []

    def begin(*arguments, wait=True) -> Running:
        log = tmp_path_factory.mktemp("log") / "log"
        command = [sys.executable, "-m", "kxchange", "serve", *map(str, arguments)]
        command += ["--port", "0", "--grpc-port", "0", "--log-json", "--threads", "1"]
        with log.open("w") as stream:
            process = subprocess.Popen(command, stderr=stream, env={**os.environ, "KXCHANGE_CACHE": str(cache)})
        server = Running(process, log)
        running.append(server)
        deadline = time.monotonic() + 120
        while wait and time.monotonic() < deadline:
            events = server.events()
            for event in events:
                if event["event"] == "listening":
                    server.http = event.get("http", "http://" + server.http).removeprefix("http://")
                    server.grpc = event.get("grpc", server.grpc)
            if (server.grpc and any(event["event"] == "ready" for event in events)) or process.poll() is not None:
                break
            time.sleep(0.02)
        return server

    yield begin
    for server in running:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()


@pytest.fixture(scope="session")
def server(start, models) -> Running:
    """One with every model, shared by the tests that change nothing."""
    return start(*models.values())
