"""Server CPU per request, latency and throughput of `kx serve` against a direct `session.run`, on one machine.

    python benchmarks/serving.py [--requests N]

Two models: a small perceptron (256 bytes in) and two convolutions over an image (602 KB in). The server is a process of
its own with one thread per run, and its CPU time is read from the system. Rounds are interleaved; the least of them
counts. On a busy machine compare with the direct run beside it, which suffers as much.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

import kxchange as kx
from kxchange import ops
from kxchange.dims import symbol
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType

ROUNDS = 3


def save(path: Path, shape: tuple, shapes: dict[str, tuple], make) -> None:
    """A model with random weights."""
    rng = np.random.default_rng(0)
    held = {
        n: Parameter(n, (rng.normal(size=s) / np.sqrt(np.prod(s[1:]))).astype(np.float32)) for n, s in shapes.items()
    }
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), *shape)))
    result = make(x, *(parameter(name, entry.type) for name, entry in held.items()))
    kx.save(Model({"main": Function(Graph((x,), (result,)), ("y",))}, held), path)


def small(path: Path) -> np.ndarray:
    """64 to 64 to 10."""
    save(path, (64,), {"a": (64, 64), "b": (10, 64)}, lambda x, a, b: ops.linear(ops.relu(ops.linear(x, a)), b))
    return np.ones((1, 64), np.float32)


def medium(path: Path) -> np.ndarray:
    """Two convolutions over 3 x 224 x 224, a few milliseconds."""

    def make(x, a, b):
        same = {"strides": (2, 2), "dilations": (1, 1), "padding": ((3, 3), (3, 3)), "groups": 1, "channel_axis": 1}
        y = ops.relu(ops.conv(x, a, **same))
        y = ops.relu(ops.conv(y, b, **{**same, "padding": ((1, 1), (1, 1))}))
        return ops.mean(y, axis=(2, 3), keepdims=False)

    save(path, (3, 224, 224), {"a": (32, 3, 7, 7), "b": (64, 32, 3, 3)}, make)
    return np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)


def start(path: Path, cache: Path) -> tuple[subprocess.Popen, int, float]:
    """The server, its port, and the seconds until it was ready."""
    command = [sys.executable, "-m", "kxchange", "serve", str(path), "--port", "0", "--threads", "1", "--log-json"]
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "KXCHANGE_CACHE": str(cache)}
    )
    port = 0
    for line in process.stderr:
        event = json.loads(line)
        if event["event"] == "listening":
            port = int(event["http"].rsplit(":", 1)[1])
        if event["event"] == "ready":
            return process, port, time.perf_counter() - begin
    raise SystemExit("the server did not start")


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Resident MB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1000


async def load(port: int, name: str, array: np.ndarray, connections: int, count: int) -> list[float]:
    """Send requests; the seconds of each."""
    raw = array.tobytes()
    entry = {"name": "x", "datatype": "FP32", "shape": array.shape, "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    request = (
        (
            f"POST /v2/models/{name}/infer HTTP/1.1\r\nhost: a\r\ncontent-length: {len(head) + len(raw)}\r\n"
            f"inference-header-content-length: {len(head)}\r\n\r\n"
        ).encode()
        + head
        + raw
    )
    times: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count // connections):
            begin = time.perf_counter()
            writer.write(request)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert b" 200 " in answer, answer
            await reader.readexactly(int(re.search(rb"\r\ncontent-length: (\d+)", answer)[1]))
            times.append(time.perf_counter() - begin)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return times


def direct(path: Path, array: np.ndarray, count: int) -> float:
    """Seconds of CPU of one direct run."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "net.onnx"
        kx.save(kx.load(path), target)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(str(target), options, providers=["CPUExecutionProvider"])
        session.run(None, {"x": array})
        begin = time.process_time()
        for _ in range(count):
            session.run(None, {"x": array})
        return (time.process_time() - begin) / count


def measure(name: str, make, count: int) -> None:
    """One model: a line per number of connections."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.kx"
        array = make(path)
        start(path, Path(folder))[0].terminate()  # converts
        process, port, cold = start(path, Path(folder))
        run = min(direct(path, array, max(20, count // 10)) for _ in range(ROUNDS))
        print(f"{name}: ready in {cold:.2f} s, {memory(process.pid):.0f} MB, direct run {1e6 * run:.0f} us of CPU")
        asyncio.run(load(port, name, array, 1, max(10, count // 20)))
        found: dict[int, list[tuple[float, float, float]]] = {}
        for _ in range(ROUNDS):
            for connections in (1, 8):
                before, begin = cpu(process.pid), time.perf_counter()
                times = asyncio.run(load(port, name, array, connections, count))
                used, took = cpu(process.pid) - before, time.perf_counter() - begin
                row = (used / len(times), sorted(times)[len(times) // 2], len(times) / took)
                found.setdefault(connections, []).append(row)
        for connections, rows in found.items():
            used, median, rate = min(r[0] for r in rows), min(r[1] for r in rows), max(r[2] for r in rows)
            text = f"CPU {1e6 * used:.0f} us per request (direct + {1e6 * (used - run):.0f})"
            print(f"  {connections} connections: {text}, median {1e3 * median:.2f} ms, {rate:.0f} requests/s")
        print(f"  at the end {memory(process.pid):.0f} MB")
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4000)
    wanted = parser.parse_args().requests
    measure("small", small, wanted)
    measure("medium", medium, max(40, wanted // 40))
