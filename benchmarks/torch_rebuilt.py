"""Eager cost of rebuilt torch modules beside the originals: ``python -m benchmarks.torch_rebuilt [NAME ...]``.

Runs alternate between the two on one thread, in processor time, so that the machine's load hits neither; the ratio is
that of the medians.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from typing import Any

import torch

import kxchange as kx
from tests.zoo_hf import ZOO

RUNS, WARM = 40, 5


def compare(name: str) -> float:
    """Rebuilt over original, median of the alternating runs."""
    entry = ZOO[name]()
    model = kx.capture(entry.module, dynamic=entry.dynamic, **entry.inputs, **entry.options)
    built = model.to("torch").eval()
    inputs = [entry.inputs[key] for key in model.input_names]
    times: dict[str, list[float]] = {"original": [], "rebuilt": []}
    with torch.inference_mode():
        for run in range(RUNS + WARM):
            for key, took in (
                ("original", _seconds(lambda: entry.module(**entry.inputs, **entry.options))),
                ("rebuilt", _seconds(lambda: built(*inputs))),
            ):
                if run >= WARM:
                    times[key].append(took)
    return statistics.median(times["rebuilt"]) / statistics.median(times["original"])


def _seconds(action: Any) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def main(names: list[str]) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    ratios: list[float] = []
    for name in names or list(ZOO):
        ratios.append(compare(name))
        print(f"{name:16} {ratios[-1]:.2f}", flush=True)
    print(f"{'median':16} {statistics.median(ratios):.2f}  (rebuilt over original, eager)")


if __name__ == "__main__":
    main(sys.argv[1:])
