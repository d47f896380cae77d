"""Worker processes: one per backend, so that a crash or a missing package costs one row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kxchange.model import Array
from kxchange.validation.job import Job, Result, read_result, write_cases

TIMEOUT = 900.0
"""Seconds after which a worker is given up."""
MOST_AT_ONCE = 4
"""Workers side by side, whatever the machine."""
FRAMEWORK_BYTES, COPIES, MEMORY_SHARE = 2**29, 8, 0.7
"""What a framework takes, how often a worker holds the weights, and the share of the free memory that workers get."""
TAIL = 600
"""Characters of a failed worker's last words that go into the report."""


def run_processes(
    jobs: Sequence[Job],
    cases: Mapping[str, Sequence[Mapping[str, Array]]],
    *,
    pythons: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
    progress: Callable[[str], None] | None = None,
    weights: int = 0,
) -> dict[str, Result]:
    """Run each job in a process of its own, as many at once as cores and free memory allow.

    Args:
        jobs: One per backend.
        cases: Inputs per profile.
        pythons: Interpreter per row or backend, for environments of their own.
        timeout: Seconds for one worker.
        progress: Called with a row's name when it is done.
        weights: Bytes of the model's parameters, for what a worker will need.

    Returns:
        Result per row; a failed process is a result with an error.
    """

    def run(job: Job) -> tuple[str, Result]:
        python = (pythons or {}).get(job.label) or (pythons or {}).get(job.backend, sys.executable)
        result = run_process(job, cases, python, timeout)
        if progress is not None:
            progress(job.label or job.backend)
        return job.label or job.backend, result

    with ThreadPoolExecutor(max_workers=workers_at_once(weights, free_memory())) as pool:
        return dict(pool.map(run, jobs))


def workers_at_once(weights: int, free: int | None) -> int:
    """How many workers may run side by side.

    Args:
        weights: Bytes of the model's parameters; a worker holds them a few times over, in float64 too.
        free: Bytes of memory that are free; None where that is not known.
    """
    cores = max(1, min(MOST_AT_ONCE, os.cpu_count() or 1))
    if free is None:
        return cores
    return max(1, min(cores, int(free * MEMORY_SHARE) // (FRAMEWORK_BYTES + COPIES * weights)))


def free_memory() -> int | None:
    """Bytes that new processes can have; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def run_process(job: Job, cases: Mapping[str, Sequence[Mapping[str, Array]]], python: str, timeout: float) -> Result:
    """One worker: its folder is removed when it is done."""
    with tempfile.TemporaryDirectory(prefix="kx-validate-") as name:
        folder = Path(name)
        job.write(folder)
        for profile in job.profiles:
            write_cases(folder / f"{profile}.cases", cases[profile])
        (folder / "counts.json").write_text(json.dumps({profile: len(cases[profile]) for profile in job.profiles}))
        command = [python, "-m", "kxchange.validation.worker", str(folder)]
        try:
            environment = {**os.environ, **job.environment}
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout, check=False, env=environment
            )
        except subprocess.TimeoutExpired:
            return Result(error=f"gave no answer within {timeout:g} s")
        except OSError as error:
            return Result(error=f"cannot start {python}: {error.strerror}", missing=True)
        if done.returncode == 0 and (folder / "result.json").exists():
            return materialize(read_result(folder))
        return Result(error=describe_exit(done.returncode, done.stderr))


def materialize(result: Result) -> Result:
    """Copy the arrays out of the mapped files, whose folder is about to go."""
    for outcome in result.outcomes.values():
        outcome.outputs = [{name: array.copy() for name, array in case.items()} for case in outcome.outputs]
    return result


def describe_exit(code: int, stderr: str) -> str:
    """A crashed worker in one line."""
    words = stderr.strip()[-TAIL:]
    if code < 0:
        killed = " (most often out of memory)" if code == -signal.SIGKILL else ""
        return f"crashed with {signal.Signals(-code).name}{killed}" + (f": {words}" if words else "")
    return f"failed with exit code {code}: {words}"
