"""Dynamic batching: requests that wait together run together, if the model provably treats samples one by one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kxchange.dims import symbols
from kxchange.errors import KxchangeError
from kxchange.model import Array, Model
from kxchange.serving.errors import DeadlineError, OverloadedError, ServingError
from kxchange.serving.execution import Executor
from kxchange.serving.selftest import batch_cases
from kxchange.serving.statistics import Timing
from kxchange.types import TensorType
from kxchange.validation.judge import judge_accuracy
from kxchange.validation.truth import Truth
from kxchange.validation.verdict import Verdict, worst

PARTS = (1, 2, 3)
"""Sizes of the requests joined in the proof."""

Run = Callable[[Sequence[Array]], list[Array]]


def batch_symbol(model: Model) -> str | None:
    """The symbol that is the first axis of every input and output and nothing else; None where there is none."""
    entry = model.main
    types = [*entry.input_types.values(), *entry.output_types.values()]
    found = {_first(type) for type in types}
    if len(found) != 1 or (symbol := found.pop()) is None:
        return None
    if any(symbol in symbols(dim) for type in types for dim in type.shape[1:]):
        return None
    constraints = [*model.constraints, *(constraint for _, constraint in entry.node_constraints())]
    bound = any(symbol in constraint.symbols and constraint.kind != "at_least" for constraint in constraints)
    return None if bound else symbol


def _first(type: TensorType) -> str | None:
    first = type.shape[0] if type.shape else 1
    names = symbols(first)
    return next(iter(names)) if len(names) == 1 and str(first) in names else None


def prove_batching(model: Model, symbol: str, run: Run) -> str:
    """Why requests of this model may not be joined; empty if each sample keeps its result.

    Three requests are run joined; their slices are judged against the truth of each alone, by the validation's rule.
    """
    cases = batch_cases(model, symbol, PARTS)
    names, outputs = model.input_names, model.output_names
    try:
        truth = Truth(model, cases)
        joined = run([np.concatenate([case.inputs[name] for case in cases]) for name in names])
    except (KxchangeError, ValueError) as error:
        return f"joining requests could not be tried: {str(error)[:200]}"
    ends = np.cumsum(PARTS)
    found = [
        {name: array[end - size : end] for name, array in zip(outputs, joined, strict=True)}
        for size, end in zip(PARTS, ends, strict=True)
    ]
    findings = judge_accuracy(truth, found, truth.reference)
    if worst(finding.verdict for finding in findings) is Verdict.SAME:
        return ""
    return "a sample's result depends on the others of its batch"


@dataclass(slots=True)
class Waiting:
    """A request that has not run yet."""

    arrays: Sequence[Array]
    outputs: Sequence[str]
    rows: int
    timing: Timing
    deadline: float
    entered: int
    answer: asyncio.Future[list[Array]]


class Batcher:
    """Joins what is waiting.

    Args:
        executor: What runs the joined request.
        outputs: All outputs of the model.
        max_batch: Samples in one run.
        max_delay_us: Microseconds to wait for more; at 0 only what is there already is joined.
    """

    def __init__(self, executor: Executor, outputs: Sequence[str], max_batch: int, max_delay_us: int) -> None:
        self._executor = executor
        self._outputs = list(outputs)
        self._max_batch = max_batch
        self._delay = max_delay_us / 1e6
        self._queue: list[Waiting] = []
        self._task: asyncio.Task[None] | None = None

    def takes(self, arrays: Sequence[Array]) -> bool:
        """Whether a request may be joined: it is not empty, nor a full batch already."""
        return 0 < arrays[0].shape[0] < self._max_batch

    def admit(self) -> None:
        """Refuse where the queue is full.

        Raises:
            OverloadedError: The queue is full.
        """
        if len(self._queue) >= self._executor.queue:
            raise OverloadedError(f"the queue is full ({self._executor.queue} requests). Try again.")

    async def run(
        self, arrays: Sequence[Array], outputs: Sequence[str], timing: Timing, deadline: float
    ) -> list[Array]:
        """The outputs of one request.

        Raises:
            ServingError: In one of its forms; those of the joined run are those of all its requests.
        """
        self.admit()
        answer: asyncio.Future[list[Array]] = asyncio.get_running_loop().create_future()
        entered = time.perf_counter_ns()
        self._queue.append(Waiting(arrays, outputs, arrays[0].shape[0], timing, deadline, entered, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        try:
            return await asyncio.wait_for(answer, max(0.0, deadline - time.perf_counter()))
        except TimeoutError:
            raise DeadlineError("the deadline passed before the answer was there.") from None

    async def _drain(self) -> None:
        try:
            while self._queue:
                await asyncio.sleep(self._delay)
                if batch := self._next():
                    await self._execute(batch)
        finally:
            self._task = None

    def _next(self) -> list[Waiting]:
        """The oldest request and those behind it that differ from it in the number of samples only."""
        waiting = [entry for entry in self._queue if not entry.answer.done()]
        batch: list[Waiting] = []
        count = 0
        for entry in waiting:
            if count + entry.rows <= self._max_batch and (not batch or _alike(batch[0], entry)):
                batch.append(entry)
                count += entry.rows
        taken = set(map(id, batch))
        self._queue = [entry for entry in waiting if id(entry) not in taken]
        return batch

    async def _execute(self, batch: list[Waiting]) -> None:
        begin = time.perf_counter_ns()
        timing = Timing(begin)
        columns = zip(*(entry.arrays for entry in batch), strict=True)
        arrays = [column[0] if len(batch) == 1 else np.concatenate(column) for column in columns]
        count = sum(entry.rows for entry in batch)
        try:
            latest = max(entry.deadline for entry in batch)
            results = await self._executor.run(arrays, self._outputs, count, timing, latest)
        except ServingError as error:
            for entry in batch:
                if not entry.answer.done():
                    entry.answer.set_exception(type(error)(str(error)))
            return
        end = 0
        for entry in batch:
            start, end = end, end + entry.rows
            entry.timing.queue = begin - entry.entered + timing.queue
            entry.timing.infer = timing.infer
            if not entry.answer.done():
                by_name = dict(zip(self._outputs, results, strict=True))
                entry.answer.set_result([by_name[name][start:end] for name in entry.outputs])


def _alike(first: Waiting, other: Waiting) -> bool:
    """Same types by construction; the same sizes but for the first."""
    return all(a.shape[1:] == b.shape[1:] for a, b in zip(first.arrays, other.arrays, strict=True))
