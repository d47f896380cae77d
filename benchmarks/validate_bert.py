"""Validation of a model with the weights of BERT-base on every backend: seconds, CPU seconds and the peak of memory.

python benchmarks/validate_bert.py                     all installed backends, two workers side by side
python benchmarks/validate_bert.py onnx torch          these
python benchmarks/validate_bert.py --layers 2 onnx     a smaller one

Memory is what the process and its workers hold together (proportional set size where the system tells it).
"""

from __future__ import annotations

import argparse
import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

import kxchange as kx

INTERVAL = 0.25
"""Seconds between two looks at the memory."""


def bert(layers: int) -> Any:
    """BERT-base with random weights, captured with a symbolic batch and length."""
    import torch
    import transformers

    torch.manual_seed(0)
    net = transformers.BertModel(transformers.BertConfig(num_hidden_layers=layers)).eval()
    ids = torch.randint(1, 30000, (2, 9))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return kx.capture(net, dynamic=dict.fromkeys(inputs, ("batch", "seq")), **inputs)


def children(pid: int) -> list[int]:
    """The process and everything below it."""
    found = [pid]
    for number in found:
        for task in Path(f"/proc/{number}/task").glob("*/children"):
            found += [int(word) for word in task.read_text().split()]
    return found


def held(pid: int) -> int:
    """Bytes that a process holds; what it shares counts by its share."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


class Peak(threading.Thread):
    """Watches the memory of the process and its workers."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0

    def run(self) -> None:
        """Look again and again."""
        while True:
            try:
                self.bytes = max(self.bytes, sum(held(pid) for pid in children(os.getpid())))
            except OSError:  # a worker ended between two looks
                continue
            finally:
                time.sleep(INTERVAL)


def cpu(who: int) -> float:
    """CPU seconds so far."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Validate, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backends", nargs="*")
    parser.add_argument("--layers", type=int, default=12)
    arguments = parser.parse_args()
    model = bert(arguments.layers)
    weights = sum(entry.nbytes for entry in model.parameters.values() if entry.alias_of is None)
    print(f"{weights / 2**20:.0f} MiB of weights, {len(model.main.graph.nodes())} nodes")
    peak = Peak()
    peak.start()
    start, own, workers = time.perf_counter(), cpu(resource.RUSAGE_SELF), cpu(resource.RUSAGE_CHILDREN)
    report = kx.validate(model, backends=arguments.backends or "all")
    print(report)
    for row in report.rows:
        print(f"  {row.backend:18} " + ", ".join(f"{name} {value:.1f} s" for name, value in row.seconds.items()))
    own, workers = cpu(resource.RUSAGE_SELF) - own, cpu(resource.RUSAGE_CHILDREN) - workers
    print(f"{time.perf_counter() - start:.0f} s; CPU: {own:.0f} s here, {workers:.0f} s in workers")
    print(f"peak of memory: {peak.bytes / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
