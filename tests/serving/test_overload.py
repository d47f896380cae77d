"""More requests than the queue holds, and answers that come too late: in one process, where order is certain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time

import numpy as np
import pytest
from serving_requests import URL, body

from kxchange.serving.app import App, State
from kxchange.serving.errors import DeadlineError, OverloadedError
from kxchange.serving.execution import Executor
from kxchange.serving.limits import Limits
from kxchange.serving.logs import Log
from kxchange.serving.repository import find_models
from kxchange.serving.served import Options
from kxchange.serving.statistics import Statistics, Timing

FAR = 1e9
"""A deadline that nothing reaches."""


@pytest.fixture
def made(models, cache, monkeypatch):
    """An application with the perceptron, and what serves it."""
    monkeypatch.setenv("KXCHANGE_CACHE", str(cache))

    def make(queue: int, **options):
        limits = Limits(queue=queue)
        repository = find_models([str(models["perceptron"])], Options(limits=limits, threads=1, **options))
        (entry,) = repository.all()
        repository.load(entry)
        return App(State(repository, limits, Log(quiet=True))), entry.served

    return make


async def ask(app) -> tuple[int, dict, bytes]:
    """Status, headers and body of one request."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": body()}

    async def send(message):
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": URL, "headers": []}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(bytes(part["body"]) for part in sent[1:])


def counted(answers) -> tuple[int, int]:
    """How many were answered and how many refused; nothing else may be."""
    for status, headers, reply in answers:
        assert status in (200, 429)
        if status == 429:
            assert headers[b"retry-after"] == b"1"
            assert "queue is full (4 requests)" in json.loads(reply)["error"]
    return [status for status, _, _ in answers].count(200), [status for status, _, _ in answers].count(429)


class Gate:
    """A session that runs when it is let, or ends when it is told to."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Semaphore(0)
        self.handles = []

    class Handle:
        def __init__(self) -> None:
            self.told = threading.Event()

        @property
        def terminate(self) -> bool:
            return self.told.is_set()

        @terminate.setter
        def terminate(self, value: bool) -> None:
            self.told.set()

    def options(self):
        self.handles.append(Gate.Handle())
        return self.handles[-1]

    def run(self, arrays, outputs, options=None):
        self.begun.release()
        while not (self.open.is_set() or options.terminate):
            time.sleep(0.001)
        return [np.zeros((1, 10), np.float32)]


async def until(true) -> None:
    while not true():
        await asyncio.sleep(0.001)


def test_a_full_queue_is_429_where_runs_are_short(made):
    """All of them have arrived; as many as the queue holds are answered."""
    app, served = made(4)
    served.executor.inline, served.executor._threads = True, None

    async def scenario():
        first = await asyncio.gather(*(ask(app) for _ in range(40)))
        return first, await ask(app)

    answers, after = asyncio.run(scenario())
    assert counted(answers) == (4, 36)
    assert after[0] == 200
    assert served.statistics.pending == 0
    assert served.statistics.failure == {"REJECTED": 36}


def test_a_full_queue_is_429_where_runs_are_long(made):
    app, served = made(4)
    gate = Gate()
    served.executor = Executor(gate, served.statistics, queue=4, workers=1, seconds=1.0)
    served.admit = served.executor.admit

    async def scenario():
        calls = [asyncio.create_task(ask(app)) for _ in range(40)]
        await until(lambda: sum(call.done() for call in calls) == 36)
        assert served.statistics.pending == 4
        gate.open.set()
        answers = await asyncio.gather(*calls)
        await until(lambda: served.statistics.pending == 0)
        return answers, await ask(app)

    answers, after = asyncio.run(scenario())
    assert counted(answers) == (4, 36)
    assert after[0] == 200
    served.executor.close()


def test_a_full_queue_is_429_where_requests_are_joined(made):
    app, served = made(4, max_batch=64)
    assert served.batching == "on"

    async def scenario():
        return await asyncio.gather(*(ask(app) for _ in range(40))), await ask(app)

    answers, after = asyncio.run(scenario())
    assert counted(answers) == (4, 36)
    assert after[0] == 200
    assert served.statistics.executions == 2  # the four together, and the one


def test_what_waits_together_runs_together(made):
    app, served = made(256, max_batch=8)

    async def scenario():
        return await asyncio.gather(*(ask(app) for _ in range(20)))

    assert counted(asyncio.run(scenario())) == (20, 0)
    assert {size: count for size, (count, _) in served.statistics.batches.items()} == {8: 2, 4: 1}


def test_a_run_that_nobody_waits_for_is_ended():
    async def scenario() -> None:
        gate, statistics = Gate(), Statistics()
        executor = Executor(gate, statistics, queue=2, workers=1, seconds=1.0)
        assert not executor.inline
        calls = [asyncio.create_task(executor.run([], [], 1, Timing(0), FAR)) for _ in range(2)]
        await until(lambda: gate.begun.acquire(blocking=False))
        with pytest.raises(OverloadedError):
            await executor.run([], [], 1, Timing(0), FAR)
        calls[0].cancel()  # its client went away; the next one begins
        await until(lambda: gate.begun.acquire(blocking=False))
        assert gate.handles[0].terminate
        assert not gate.handles[1].terminate
        gate.open.set()
        assert len(await calls[1]) == 1
        await until(lambda: statistics.pending == 0)
        executor.close()

    asyncio.run(scenario())


def test_a_slow_run_ends_at_its_deadline():
    """Deadlines far enough for a run to begin on this machine, whatever it is: the first that is decides."""

    async def scenario(seconds: float) -> bool:
        gate, statistics = Gate(), Statistics()
        executor = Executor(gate, statistics, queue=2, workers=1, seconds=1.0)
        with pytest.raises(DeadlineError):
            await executor.run([], [], 1, Timing(0), time.perf_counter() + seconds)
        await until(lambda: statistics.pending == 0)
        executor.close()
        begun = gate.begun.acquire(blocking=False)
        assert gate.handles[0].terminate
        return begun

    assert any(asyncio.run(scenario(0.05 * 2**number)) for number in range(12))


def test_a_request_that_waited_too_long_does_not_run():
    async def scenario() -> None:
        gate, statistics = Gate(), Statistics()
        gate.open.set()
        executor = Executor(gate, statistics, queue=2, workers=1, seconds=1.0)
        with pytest.raises(DeadlineError):
            await executor.run([], [], 1, Timing(0), time.perf_counter() - 1)
        await until(lambda: statistics.pending == 0)
        assert not gate.begun.acquire(blocking=False)
        executor.close()

    asyncio.run(scenario())


def test_what_waits_is_answered_when_a_model_is_closed():
    """As when it is loaded again: the old one finishes what it took."""

    async def scenario() -> None:
        gate, statistics = Gate(), Statistics()
        executor = Executor(gate, statistics, queue=8, workers=1, seconds=1.0)
        calls = [asyncio.create_task(executor.run([], [], 1, Timing(0), FAR)) for _ in range(3)]
        await until(lambda: gate.begun.acquire(blocking=False))
        executor.close()
        gate.open.set()
        assert [len(results) for results in await asyncio.gather(*calls)] == [1, 1, 1]

    asyncio.run(scenario())


def test_a_flood_of_refusals_is_no_flood_of_lines(monkeypatch):
    import io

    from kxchange.serving import logs

    now = 100.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now)
    stream = io.StringIO()
    log = Log(as_json=True, stream=stream)
    for _ in range(1000):
        log.refused("POST", "/v2", OverloadedError("the queue is full."))
    now = 102.0
    log.refused("POST", "/v2", OverloadedError("the queue is full."))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == logs.REFUSALS_SAID + 1
    assert lines[-1]["unsaid"] == 1000 - logs.REFUSALS_SAID
    assert all("unsaid" not in line for line in lines[:-1])


def test_a_log_that_nobody_reads_any_longer_stops_nothing():
    import os

    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", buffering=1) as stream:
        log = Log(as_json=True, stream=stream)
        log.event("draining")
        log.refused("POST", "/v2", OverloadedError("the queue is full."))
        with contextlib.suppress(OSError):
            stream.close()
