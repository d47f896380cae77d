"""Prometheus metrics under Triton's names, so that its dashboards work, and a latency histogram.

Counting costs a request nothing: the numbers stand in the statistics and are put into text when they are scraped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from kxchange import __version__
from kxchange.serving.statistics import BUCKETS_US, Statistics

if TYPE_CHECKING:
    from kxchange.serving.app import State

LABELS = ("model", "version")
Read = Callable[[Statistics], int]
COUNTERS: dict[str, tuple[str, Read]] = {
    "nv_inference_request_success": ("Successful inference requests", lambda s: s.success),
    "nv_inference_count": ("Samples inferred", lambda s: s.rows),
    "nv_inference_exec_count": ("Runs of the model; a batch is one", lambda s: s.executions),
    "nv_inference_request_duration_us": ("Time in requests", lambda s: s.success_ns // 1000),
    "nv_inference_queue_duration_us": ("Time in the queue", lambda s: s.queue_ns // 1000),
    "nv_inference_compute_input_duration_us": ("Time in reading inputs", lambda s: s.prepare_ns // 1000),
    "nv_inference_compute_infer_duration_us": ("Time in the model", lambda s: s.infer_ns // 1000),
    "nv_inference_compute_output_duration_us": ("Time in writing outputs", lambda s: s.output_ns // 1000),
}  # fmt: skip
SUFFIX = re.compile(rb"^# (HELP|TYPE) (nv_\w+)_total ", re.MULTILINE)
"""The name that the client library gives counters in their comments; Triton's have none."""
REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")


class Collector:
    """Puts the statistics of all loaded models into metric families."""

    def __init__(self, state: State) -> None:
        self._state = state

    def _models(self) -> list[tuple[list[str], Statistics]]:
        entries = self._state.repository.all()
        return [([e.name, e.version], e.served.statistics) for e in entries if e.served is not None]

    def collect(self) -> Iterator[Any]:
        """The families."""
        from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

        models = self._models()
        for name, (text, read) in COUNTERS.items():
            family = Metric(name, text, "counter")
            for labels, statistics in models:
                family.add_sample(name, dict(zip(LABELS, labels, strict=True)), read(statistics))
            yield family
        yield self._failures(Metric("nv_inference_request_failure", "Failed inference requests", "counter"), models)
        pending = GaugeMetricFamily("nv_inference_pending_request_count", "Requests not yet answered", labels=LABELS)
        ready = GaugeMetricFamily("kxchange_model_ready", "Whether the model is loaded and proven", labels=LABELS)
        latency = HistogramMetricFamily("kxchange_request_duration_seconds", "Time of answered requests", labels=LABELS)
        for labels, statistics in models:
            pending.add_metric(labels, statistics.pending)
            latency.add_metric(labels, list(cumulative(statistics.buckets)), statistics.success_ns / 1e9)
        for entry in self._state.repository.all():
            ready.add_metric([entry.name, entry.version], entry.state == "READY")
        build = GaugeMetricFamily("kxchange_build_info", "The version that runs", labels=["version"])
        build.add_metric([__version__], 1)
        yield from (pending, ready, latency, build)

    @staticmethod
    def _failures(family: Any, models: Iterable[tuple[list[str], Statistics]]) -> Any:
        for labels, statistics in models:
            for reason in REASONS:
                named = {**dict(zip(LABELS, labels, strict=True)), "reason": reason}
                family.add_sample(family.name, named, statistics.failure.get(reason, 0))
        return family


def cumulative(buckets: list[int]) -> Iterator[tuple[str, float]]:
    """Upper end in seconds and count up to it, per bucket."""
    total = 0
    for end, count in zip((*BUCKETS_US, None), buckets, strict=True):
        total += count
        yield "+Inf" if end is None else str(end / 1e6), float(total)


def exposition(state: State) -> bytes:
    """All metrics in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(Collector(state))  # pyright: ignore[reportArgumentType]
    return SUFFIX.sub(rb"# \1 \2 ", generate_latest(registry))
