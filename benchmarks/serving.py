"""The figures of serving, each beside its target: CPU per request, start, memory, overload; a soak; MLServer beside it.

    python benchmarks/serving.py [--requests N] [--soak N] [--mlserver PYTHON]

The server is a process of its own with one thread per run, metrics and limits on, and its CPU time is read from the
system. Rounds are interleaved and the least of them counts. Times that a clock measures (start, percentiles) mean
something on a quiet machine only; CPU suffers less, and the direct run beside it suffers as much. `--mlserver` takes the
Python of an environment with `mlserver` and `onnxruntime` (`benchmarks/serving_mlserver.py` says what runs there).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from serving_load import (
    Served,
    binary_request,
    direct,
    flood,
    json_request,
    load,
    medium,
    percentile,
    slow,
    small,
    start,
)
from serving_mlserver import start_mlserver

import kxchange as kx

ROUNDS = 5
STARTS = 3
OVERLOAD = 10
SECONDS = 8


def line(what: str, found: float, unit: str, target: float | None = None, *, least: bool = False) -> None:
    """One figure and whether it is what it should be."""
    verdict = ""
    if target is not None:
        good = found >= target if least else found <= target
        verdict = f"  ({'at least' if least else 'at most'} {target:.4g} {unit}: {'yes' if good else 'NO'})"
    print(f"  {what}: {found:.4g} {unit}{verdict}", flush=True)


def measured_cpu(server: Served, requests: dict[int, bytes], count: int) -> dict[int, float]:
    """Microseconds of CPU per request by number of connections."""
    found: dict[int, float] = {}
    for connections, request in requests.items():
        before = server.cpu()
        times = asyncio.run(load(server.port, request, connections, count))
        found[connections] = 1e6 * (server.cpu() - before) / len(times)
    return found


def least(rounds: list[dict[int, float]], connections: int) -> float:
    """The best of all rounds."""
    return min(found[connections] for found in rounds)


def small_requests(folder: Path, count: int, mlserver: str) -> None:
    """Start, memory and CPU on the small model, MLServer in the same rounds."""
    path = folder / "small.kx"
    array = small(path)
    kx.save(kx.load(path), folder / "small.onnx")
    start(path, folder).stop()  # converts
    starts: list[float] = []
    for _ in range(STARTS):
        server = start(path, folder)
        starts.append(server.seconds)
        server.stop()
    server = start(path, folder)
    request = binary_request("small", array)
    other = start_mlserver(mlserver, folder / "small.onnx", folder / "mlserver") if mlserver else None
    plain = json_request("small", array)
    asyncio.run(load(server.port, request, 1, 200))
    ours: list[dict[int, float]] = []
    ours_json: list[dict[int, float]] = []
    theirs: list[dict[int, float]] = []
    for _ in range(ROUNDS):
        ours.append(measured_cpu(server, {1: request, 8: request}, count))
        ours_json.append(measured_cpu(server, {1: plain, 8: plain}, count // 2))
        if other is not None:
            theirs.append(measured_cpu(other, {1: plain, 8: plain}, count // 4))
    print("small model, 256 bytes in:")
    line("cold start to ready", min(starts), "s", 2)
    line("memory", server.memory(), "MB", 120)
    line("direct run", 1e6 * min(direct(folder / "small.onnx", array, count) for _ in range(ROUNDS)), "us")
    for connections, target in ((1, 180), (8, 100)):
        line(f"CPU per request, {connections} connections", least(ours, connections), "us", target)
        line(f"  with the tensors as JSON, {connections} connections", least(ours_json, connections), "us")
        if theirs:
            line(f"  MLServer (JSON), {connections} connections", least(theirs, connections), "us")
            line("  MLServer over ours", least(theirs, connections) / least(ours, connections), "times", 4, least=True)
            line("  the same, both JSON", least(theirs, connections) / least(ours_json, connections), "times")
    server.stop()
    if other is not None:
        other.stop()


def medium_requests(folder: Path, count: int) -> None:
    """CPU on a tensor of 602 KB over a direct run, in the same rounds."""
    path = folder / "medium.kx"
    array = medium(path)
    kx.save(kx.load(path), folder / "medium.onnx")
    server = start(path, folder)
    request = binary_request("medium", array)
    asyncio.run(load(server.port, request, 1, 10))
    rounds: list[dict[int, float]] = []
    runs: list[float] = []
    for _ in range(ROUNDS):
        rounds.append(measured_cpu(server, {1: request, 8: request}, count))
        runs.append(1e6 * direct(folder / "medium.onnx", array, count))
    print("medium model, 602 KB in:")
    line("direct run", min(runs), "us")
    for connections in (1, 8):
        target = 1.05 * min(runs) + 500
        line(f"CPU per request, {connections} connections", least(rounds, connections), "us", target)
    line("memory", server.memory(), "MB")
    server.stop()


def overload(folder: Path) -> None:
    """Ten times what it can do: who is let in waits for one other run at most."""
    path = folder / "slow.kx"
    request = binary_request("slow", slow(path))
    server = start(path, folder, "--queue", "2")
    asyncio.run(load(server.port, request, 1, 20))
    alone = asyncio.run(load(server.port, request, 1, 300))
    rate = OVERLOAD / (sum(alone) / len(alone))
    times, refused = asyncio.run(flood(server.port, request, rate, SECONDS))
    print(f"overload, {rate:.0f} requests/s on a model of {1e3 * percentile(alone, 0.5):.1f} ms, --queue 2:")
    line("unloaded p99", 1e3 * percentile(alone, 0.99), "ms")
    line("p99 of the accepted", 1e3 * percentile(times, 0.99), "ms", 3e3 * percentile(alone, 0.99))
    print(f"  answered {len(times)} ({len(times) / SECONDS:.0f}/s), refused with 429 {refused}, failed 0")
    server.stop()


def soak(folder: Path, count: int) -> None:
    """Many small requests: none fails, memory stays."""
    path = folder / "small.kx"
    request = binary_request("small", small(path))
    server = start(path, folder)
    asyncio.run(load(server.port, request, 8, max(8, count // 100)))
    before, used = server.memory(), server.cpu()
    sent = 0
    while sent < count:
        sent += len(asyncio.run(load(server.port, request, 8, max(8, min(50_000, count - sent)))))
        print(f"  {sent} sent, {server.memory():.1f} MB", flush=True)
    print(f"soak, {sent} small requests at 8 connections, failed 0:")
    line("CPU per request", 1e6 * (server.cpu() - used) / sent, "us")
    line("memory before", before, "MB")
    line("memory growth", 100 * (server.memory() / before - 1), "%", 5)
    server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000, help="per round and number of connections")
    parser.add_argument("--soak", type=int, default=0, metavar="N", help="send N small requests at the end")
    parser.add_argument("--mlserver", default="", metavar="PYTHON", help="of an environment with MLServer")
    parser.add_argument("--only", choices=("small", "medium", "overload", "soak"), help="one part")
    given = parser.parse_args()
    print(f"load of the machine at the start: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as made:
        if given.only in (None, "small"):
            small_requests(Path(made), given.requests, given.mlserver)
        if given.only in (None, "medium"):
            medium_requests(Path(made), max(40, given.requests // 40))
        if given.only in (None, "overload"):
            overload(Path(made))
        if given.soak:
            soak(Path(made), given.soak)
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f}")
