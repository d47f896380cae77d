"""When a session runs: inline where it is fast, in threads where it is slow, with a bounded queue and a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from kxchange.model import Array
from kxchange.serving.errors import DeadlineError, OverloadedError
from kxchange.serving.statistics import Statistics, Timing

INLINE_SECONDS = 1e-3
"""Longest run that blocks the event loop: below, handing it to a thread costs more than it gains."""


class Runs(Protocol):
    """What is executed: a session."""

    def run(self, arrays: Sequence[Array], outputs: Sequence[str], options: Any = None) -> list[Array]:
        """Outputs by position."""
        ...

    def options(self) -> Any:
        """A handle whose `terminate` ends a run."""
        ...


class Executor:
    """Runs one model's requests.

    Args:
        session: What runs.
        statistics: Where queue and run times are counted.
        queue: Requests that may be waiting or running.
        workers: Runs at the same time, where they go to threads.
        seconds: How long a run takes, as measured.
    """

    def __init__(self, session: Runs, statistics: Statistics, *, queue: int, workers: int, seconds: float) -> None:
        self.session = session
        self.statistics = statistics
        self.queue = queue
        self.inline = seconds < INLINE_SECONDS
        self._threads = None if self.inline else ThreadPoolExecutor(workers, "kx-run")

    async def run(
        self, arrays: Sequence[Array], outputs: Sequence[str], rows: int, timing: Timing, deadline: float
    ) -> list[Array]:
        """The outputs.

        Args:
            arrays: Inputs in order.
            outputs: Names wanted.
            rows: Samples, for the statistics.
            timing: Filled in.
            deadline: In the clock of `time.perf_counter`.

        Raises:
            OverloadedError: The queue is full.
            DeadlineError: The deadline passed.
            FailedError: The runtime failed.
        """
        self.admit()
        statistics = self.statistics
        statistics.pending += 1
        if self._threads is None:
            try:
                # All requests that have arrived count themselves before the first of them runs.
                entered = time.perf_counter_ns()
                await asyncio.sleep(0)
                return self._run(arrays, outputs, rows, timing, entered, deadline, None)
            finally:
                statistics.pending -= 1
        return await self._in_thread(self._threads, arrays, outputs, rows, timing, deadline)

    def admit(self) -> None:
        """Refuse where the queue is full; worth asking before a request is read.

        Raises:
            OverloadedError: The queue is full.
        """
        if self.statistics.pending >= self.queue:
            raise OverloadedError(f"the queue is full ({self.queue} requests). Try again.")

    async def _in_thread(
        self,
        threads: ThreadPoolExecutor,
        arrays: Sequence[Array],
        outputs: Sequence[str],
        rows: int,
        timing: Timing,
        deadline: float,
    ) -> list[Array]:
        options = self.session.options()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Array]] = loop.create_future()
        entered = time.perf_counter_ns()

        def settle(results: list[Array] | None, error: Exception | None) -> None:
            # Counted until the thread is free again, whatever becomes of the client.
            self.statistics.pending -= 1
            if not answer.done():
                _ = answer.set_exception(error) if error else answer.set_result(results or [])

        def work() -> None:
            results, error = None, None
            try:
                results = self._run(arrays, outputs, rows, timing, entered, deadline, options)
            except Exception as raised:  # for whoever waits
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it who waits
                loop.call_soon_threadsafe(settle, results, error)

        threads.submit(work)
        timer = loop.call_later(max(0.0, deadline - time.perf_counter()), expire, answer)
        try:
            return await answer
        except BaseException:
            options.terminate = True  # nobody waits any longer
            raise
        finally:
            timer.cancel()

    def _run(
        self,
        arrays: Sequence[Array],
        outputs: Sequence[str],
        rows: int,
        timing: Timing,
        entered: int,
        deadline: float,
        options: Any,
    ) -> list[Array]:
        begin = time.perf_counter_ns()
        if begin / 1e9 > deadline:
            raise DeadlineError("the deadline passed while the request waited.")
        results = self.session.run(arrays, outputs, options)
        took = time.perf_counter_ns() - begin
        timing.queue += begin - entered
        timing.infer += took
        self.statistics.executed(rows, took)
        return results

    def close(self) -> None:
        """Let the threads end, after what waits for them."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)


def expire(answer: asyncio.Future[list[Array]]) -> None:
    """End the wait for an answer."""
    if not answer.done():
        answer.set_exception(DeadlineError("the deadline passed before the answer was there."))


def measured(run: Callable[[], Any], times: int = 5) -> float:
    """Seconds of the fastest of some calls, after one that warms up."""
    run()
    best = float("inf")
    for _ in range(times):
        begin = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begin)
        if best > INLINE_SECONDS * 50:
            break
    return best
