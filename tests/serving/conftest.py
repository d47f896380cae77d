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

import pytest
from serving_models import centred, every_datatype, perceptron

import kxchange as kx

for module in ("onnxruntime", "uvicorn", "uvloop", "httptools", "orjson"):
    pytest.importorskip(module)


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
            with urllib.request.urlopen(request, timeout=240) as reply:
                return reply.status, dict(reply.headers), reply.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def memory(self) -> int:
        """Resident bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS"))

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(240)


@pytest.fixture(scope="session")
def start(cache, tmp_path_factory):
    """Start `kx serve` with arguments; waits until it is ready, or until it ends."""
    running: list[Running] = []

    def begin(*arguments, wait=True, port=True) -> Running:
        log = tmp_path_factory.mktemp("log") / "log"
        command = [sys.executable, "-m", "kxchange", "serve", *map(str, arguments)]
        command += ["--grpc-port", "0", "--log-json", "--threads", "1", *(["--port", "0"] if port else [])]
        with log.open("w") as stream:
            process = subprocess.Popen(command, stderr=stream, env={**os.environ, "KXCHANGE_CACHE": str(cache)})
        server = Running(process, log)
        running.append(server)
        deadline = time.monotonic() + 600
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
