"""Latency and throughput of one model on several backends, each in a process of its own, one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kxchange.converter import converter, converters
from kxchange.errors import InputError, KxchangeError

PERCENTILES = (50, 90, 99)
TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One backend at one batch size.

    Attributes:
        backend: Its name.
        batch: Samples per run; 0 where the model has one size.
        runs: Timed runs.
        milliseconds: Percentile -> milliseconds of a run.
        throughput: Samples per second.
        error: Why there are no numbers.
    """

    backend: str
    batch: int
    runs: int = 0
    milliseconds: dict[str, float] | None = None
    throughput: float = 0.0
    error: str = ""


def chosen_backends(text: str) -> list[str]:
    """The backends of a comma-separated list; of ``all``, those that are installed and can run models."""
    if text != "all":
        return [name.strip() for name in text.split(",")]
    return [name for name, record in converters().items() if record.prepare_verb and not record.missing]


def bench(source: Path, backends: Sequence[str], batches: Sequence[int], seconds: float) -> list[Measurement]:
    """Measure every backend at every batch size.

    Args:
        source: A model file.
        backends: Names.
        batches: Samples per run.
        seconds: Spent on each measurement.
    """
    found: list[Measurement] = []
    for name in backends:
        if not converter(name).prepare_verb:
            raise InputError(f"{name} cannot run models, so it cannot be measured.")
        found += measured_apart(source, name, batches, seconds)
    return found


def measured_apart(source: Path, backend: str, batches: Sequence[int], seconds: float) -> list[Measurement]:
    """One backend in a process of its own; one crash costs one row."""
    job = json.dumps({"source": str(source), "backend": backend, "batches": list(batches), "seconds": seconds})
    command = [sys.executable, "-m", "kxchange.serving.bench", job]
    limit = TIMEOUT + 3 * seconds * len(batches)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
        if done.returncode == 0:
            return [Measurement(**entry) for entry in json.loads(done.stdout.splitlines()[-1])]
        error = done.stderr.strip()[-300:]
    except subprocess.TimeoutExpired:
        error = f"not done within {limit:g} seconds"
    return [Measurement(backend, batch, error=error) for batch in batches]


def measure_here(source: Path, backend: str, batches: Sequence[int], seconds: float) -> list[Measurement]:
    """The worker: prepare once, run many times."""
    from kxchange.hub import load
    from kxchange.validation.cases import feasible_sizes, generate_case, is_feasible
    from kxchange.validation.roles import input_roles

    model = load(source)
    entry = model.main
    run = converter(backend).prepare(model)
    roles = input_roles(entry, model.parameters)
    base: dict[str, int] = dict((feasible_sizes(model, entry) or [{}])[0])
    found: list[Measurement] = []
    for batch in batches if base else [0]:
        sizes = base | ({next(iter(base)): batch} if base else {})
        if base and not is_feasible(model, entry, sizes):
            found.append(Measurement(backend, batch, error="the model does not take this size"))
            continue
        inputs = generate_case(entry, roles, sizes, 1.0, (0, 0)).inputs
        try:
            found.append(timed(partial(run, inputs), backend, batch, seconds))
        except KxchangeError as error:
            found.append(Measurement(backend, batch, error=str(error)[:300]))
    return found


def timed(run: Any, backend: str, batch: int, seconds: float) -> Measurement:
    """Time single runs for as long as asked, after as many unmeasured ones as a tenth of that takes, three at least."""
    end = time.perf_counter() + seconds / 10
    warm = 0
    while warm < 3 or time.perf_counter() < end:
        run()
        warm += 1
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    total = sum(times)
    ordered = sorted(times)
    chosen = {f"p{share}": 1000 * ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in PERCENTILES}
    return Measurement(backend, batch, len(times), chosen, max(1, batch) * len(times) / total)


def plot(found: Sequence[Measurement]) -> str:
    """Throughput by batch size as SVG, one line per backend."""
    good = [entry for entry in found if entry.milliseconds]
    names = list(dict.fromkeys(entry.backend for entry in good))
    colors = ("#2a78b5", "#c9542b", "#3a923a", "#8757b0", "#8a6d3b", "#444")
    top = max((entry.throughput for entry in good), default=1.0)
    batches = sorted({entry.batch for entry in good})
    places = {batch: 70 + 480 * number / max(1, len(batches) - 1) for number, batch in enumerate(batches)}
    lines: list[str] = []
    for number, name in enumerate(names):
        color = colors[number % len(colors)]
        points = [(places[e.batch], 240 - 220 * e.throughput / top) for e in good if e.backend == name]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(f'<polyline points="{text}" fill="none" stroke="{color}" stroke-width="2"/>')
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in points]
        lines.append(f'<text x="565" y="{30 + 16 * number}" fill="{color}">{name}</text>')
    labels = "".join(f'<text x="{x:.0f}" y="258">{batch}</text>' for batch, x in places.items())
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 285" style="font:12px sans-serif">'
        f'<path d="M60 10V240H560" fill="none" stroke="#999"/><text x="2" y="22">{top:.3g}/s</text>{labels}'
        f'<text x="240" y="278">samples per run</text>{"".join(lines)}</svg>'
    )


def to_json(found: Sequence[Measurement]) -> list[dict[str, Any]]:
    """The measurements as JSON."""
    return [asdict(entry) for entry in found]


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    try:
        rows = measure_here(Path(given["source"]), given["backend"], given["batches"], given["seconds"])
    except KxchangeError as failure:
        sys.exit(str(failure))
    print(json.dumps(to_json(rows)))
