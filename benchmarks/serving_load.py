"""What `benchmarks/serving.py` measures with: models, the server as a process, its CPU and memory, clients."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

import kxchange as kx
from kxchange import ops
from kxchange.dims import symbol
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType

POOL = 32
"""Connections that requests come on where they do not wait for each other."""


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


def slow(path: Path) -> np.ndarray:
    """Small tensors and many milliseconds between them: what an overload test needs."""

    def make(x, a):
        for _ in range(144):
            x = ops.relu(ops.linear(x, a))
        return x

    save(path, (1024,), {"a": (1024, 1024)}, make)
    return np.ones((1, 1024), np.float32)


@dataclass
class Served:
    """A server process."""

    process: subprocess.Popen
    port: int
    seconds: float

    def cpu(self) -> float:
        """Seconds of CPU that it has used, with its children."""
        return sum(cpu(pid) for pid in (self.process.pid, *children(self.process.pid)))

    def memory(self) -> float:
        """Resident MB of the process itself."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1000

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(path: Path, cache: Path, *options: str) -> Served:
    """The server, once it is ready."""
    command = [sys.executable, "-m", "kxchange", "serve", str(path), "--port", "0", "--threads", "1", "--log-json"]
    log = cache / f"log-{secrets.token_hex(4)}"
    begin = time.perf_counter()
    with log.open("w") as stream:  # a file: a pipe that nobody reads would stop the server
        environment = {**os.environ, "KXCHANGE_CACHE": str(cache)}
        process = subprocess.Popen([*command, *options], stderr=stream, env=environment)
    while process.poll() is None:
        events = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        if any(event["event"] == "ready" for event in events):
            took = time.perf_counter() - begin
            address = next(event["http"] for event in events if event["event"] == "listening")
            return Served(process, int(address.rsplit(":", 1)[1]), took)
        time.sleep(0.01)
    raise SystemExit(log.read_text()[-2000:])


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, to the nanosecond where the system counts so finely."""
    tasks = [task / "schedstat" for task in Path(f"/proc/{pid}/task").iterdir()]
    if all(task.exists() for task in tasks):
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    lists = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
    found = [int(child) for path in lists if path.exists() for child in path.read_text().split()]
    return found + [below for child in found for below in children(child)]


def binary_request(name: str, array: np.ndarray) -> bytes:
    """A whole HTTP request with a binary tensor."""
    raw = array.tobytes()
    entry = {"name": "x", "datatype": "FP32", "shape": array.shape, "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    start = f"POST /v2/models/{name}/infer HTTP/1.1\r\nhost: a\r\ncontent-length: {len(head) + len(raw)}\r\n"
    return f"{start}inference-header-content-length: {len(head)}\r\n\r\n".encode() + head + raw


def json_request(name: str, array: np.ndarray) -> bytes:
    """A whole HTTP request with all in JSON, for servers that take nothing else."""
    entry = {"name": "x", "datatype": "FP32", "shape": array.shape, "data": array.reshape(-1).tolist()}
    body = json.dumps({"inputs": [entry]}).encode()
    start = f"POST /v2/models/{name}/infer HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    return f"{start}content-length: {len(body)}\r\n\r\n".encode() + body


async def answered(reader: asyncio.StreamReader) -> bytes:
    """The status of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(re.search(rb"\r\ncontent-length: (\d+)", head)[1]))
    return head[9:12]


async def load(port: int, request: bytes, connections: int, count: int) -> list[float]:
    """Send requests, each connection one after the other; the seconds of each."""
    times: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count // connections):
            begin = time.perf_counter()
            writer.write(request)
            status = await answered(reader)
            assert status == b"200", status
            times.append(time.perf_counter() - begin)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return times


async def flood(port: int, request: bytes, rate: float, seconds: float) -> tuple[list[float], int]:
    """Send requests at a rate, whatever comes back: the seconds of those that were answered, how many were refused."""
    times: list[float] = []
    refused = 0
    free: asyncio.Queue[tuple] = asyncio.Queue()
    for _ in range(POOL):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))

    async def one() -> None:
        nonlocal refused
        pair = await free.get()
        begin = time.perf_counter()
        pair[1].write(request)
        status = await answered(pair[0])
        assert status in (b"200", b"429"), status
        if status == b"200":
            times.append(time.perf_counter() - begin)
        else:
            refused += 1
        free.put_nowait(pair)

    tasks: list[asyncio.Task] = []
    begin = time.perf_counter()
    while (now := time.perf_counter() - begin) < seconds:
        tasks += [asyncio.create_task(one()) for _ in range(int(now * rate) - len(tasks))]
        await asyncio.sleep(0.001)
    await asyncio.gather(*tasks)
    while not free.empty():
        free.get_nowait()[1].close()
    return times, refused


def direct(path: Path, array: np.ndarray, count: int) -> float:
    """Seconds of CPU of one direct run."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    session.run(None, {"x": array})
    begin = time.process_time()
    for _ in range(count):
        session.run(None, {"x": array})
    return (time.process_time() - begin) / count


def percentile(times: list[float], share: float) -> float:
    """The time that this share of all stays below."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]
