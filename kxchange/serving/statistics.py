"""What happened to the requests of one model: plain numbers, read by the metrics and the statistics endpoints."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import Any

BUCKETS_US = (100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 10_000_000)
"""Upper ends of the latency histogram, in microseconds."""
KEPT = 2048
"""Latest requests kept for the plots."""
SIZES_KEPT = 256
"""Batch sizes counted apart: clients choose them, and may not fill the memory with them."""


@dataclass(slots=True)
class Timing:
    """Nanoseconds that one request took in each stage."""

    start: int
    queue: int = 0
    prepare: int = 0
    infer: int = 0
    output: int = 0


@dataclass(slots=True)
class Statistics:
    """Counts and durations of one model version since its load.

    Attributes:
        success: Requests answered.
        success_ns: Time from the first to the last byte in our hands, all of them together.
        failure: Requests refused or failed, by reason.
        failure_ns: Their time.
        rows: Samples inferred.
        executions: Runs of the session; fewer than requests where batched.
        batches: Runs and their time by batch size.
        latest: When and how long, for the plots.
    """

    success: int = 0
    success_ns: int = 0
    failure: dict[str, int] = field(default_factory=dict[str, int])
    failure_ns: int = 0
    queue_ns: int = 0
    prepare_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0
    rows: int = 0
    executions: int = 0
    last_ms: int = 0
    pending: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_US) + 1))
    batches: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    latest: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def succeeded(self, timing: Timing, rows: int) -> None:
        """Count a request that was answered."""
        now = time.perf_counter_ns()
        took = now - timing.start
        self.success += 1
        self.success_ns += took
        self.queue_ns += timing.queue
        self.prepare_ns += timing.prepare
        self.infer_ns += timing.infer
        self.output_ns += timing.output
        self.rows += rows
        self.last_ms = time.time_ns() // 1_000_000
        self.buckets[bisect_left(BUCKETS_US, took / 1000)] += 1
        self.latest.append((now / 1e9, took / 1e6))

    def failed(self, start: int, reason: str) -> None:
        """Count a request that was not."""
        self.failure[reason] = self.failure.get(reason, 0) + 1
        self.failure_ns += time.perf_counter_ns() - start

    def executed(self, rows: int, took: int) -> None:
        """Count a run of the session."""
        self.executions += 1
        if rows in self.batches or len(self.batches) < SIZES_KEPT:
            entry = self.batches.setdefault(rows, [0, 0])
            entry[0] += 1
            entry[1] += took

    def to_json(self, name: str, version: str) -> dict[str, Any]:
        """As in the protocol's statistics extension."""

        def duration(count: int, ns: int) -> dict[str, int]:
            return {"count": count, "ns": ns}

        failures = sum(self.failure.values())
        done = self.success
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_ms,
            "inference_count": self.rows,
            "execution_count": self.executions,
            "inference_stats": {
                "success": duration(done, self.success_ns),
                "fail": duration(failures, self.failure_ns),
                "queue": duration(done, self.queue_ns),
                "compute_input": duration(done, self.prepare_ns),
                "compute_infer": duration(done, self.infer_ns),
                "compute_output": duration(done, self.output_ns),
                "cache_hit": duration(0, 0),
                "cache_miss": duration(0, 0),
            },
            "batch_stats": [
                {
                    "batch_size": size,
                    "compute_input": duration(count, 0),
                    "compute_infer": duration(count, ns),
                    "compute_output": duration(count, 0),
                }
                for size, (count, ns) in sorted(self.batches.items())
            ],
        }
