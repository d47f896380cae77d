"""Peak memory of a model that outgrows the machine: inspect, diff, shard and export a sparse file of many gigabytes.

`python benchmarks/big_model.py --gigabytes 20 --folder DIR` prints, for each step in a process of its own, the seconds
it took and the peak of its own memory: what it allocated, without the pages of mapped files.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SIDE = 8192


def build(path: Path, gigabytes: float) -> None:
    """A `.kx` of 256 MiB matrices, sparse: its header is written as for zeros, its data are a hole."""
    import numpy as np

    import kxchange as kx
    from kxchange import ops
    from kxchange.dims import symbol
    from kxchange.format import hashing, writer
    from kxchange.graph import Graph, parameter, placeholder
    from kxchange.model import Function, Model, Parameter
    from kxchange.types import DType, TensorType

    type = TensorType(DType.FLOAT32, (SIDE, SIDE))
    zeros = np.zeros((SIDE, SIDE), np.float32)
    count = max(int(gigabytes * 10**9 / (4 * SIDE * SIDE)), 1)
    entries = [Parameter(f"layers.{number}.weight", lambda: zeros, type=type) for number in range(count)]
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), SIDE)))
    y = x
    for entry in entries:
        y = ops.relu(ops.linear(y, parameter(entry.name, type), None))
    digest = writer.tensor_sha256(zeros)
    # One hash for all, and nothing written: the writer's own header over a hole.
    hashing.tensor_sha256 = lambda array: digest
    writer.chunks = lambda data: ()
    os.posix_fallocate = lambda *args: None
    model = Model({"main": Function(Graph((x,), (y,)), ("y",))}, entries)
    kx.save(model, path)
    os.truncate(path, path.stat().st_size + count * 4 * SIDE * SIDE)


STEPS = {
    "open": "kx.load(source)",
    "inspect": "from kxchange.cli import main\n"
    "try: main(['inspect', '--weights', '-q', source])\nexcept SystemExit: pass",
    "diff": "from kxchange.comparison import compare_models\n"
    "assert not compare_models(kx.load(source), kx.load(source))",
    "shards": "kx.save(kx.load(source), folder + '/two.kx', max_shard_size='5GB')",
    "verify": "from kxchange.format.model_file import identify\nidentify(folder + '/two.kx.index.json', verify=True)",
    "onnx": "kx.save(kx.load(source), folder + '/net.onnx', external_data=True)",
}
WATCH = """
import sys, threading, time, json
peak = [0]
def watch():
    while True:
        for line in open('/proc/self/status'):
            if line.startswith('RssAnon'):
                peak[0] = max(peak[0], int(line.split()[1]) / 1024)
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()
source, folder = sys.argv[1:3]
import kxchange as kx
start = time.perf_counter()
{body}
time.sleep(0.05)
print(json.dumps({{"seconds": round(time.perf_counter() - start, 2), "anonymous_MB": round(peak[0])}}))
"""


def measure(step: str, source: Path) -> dict[str, Any]:
    """Seconds and peak of anonymous memory of one step."""
    body = WATCH.format(body=STEPS[step])
    done = subprocess.run([sys.executable, "-c", body, str(source), str(source.parent)], capture_output=True, text=True)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:300]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--step", action="append", choices=list(STEPS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    source = options.folder / "big.kx"
    build(source, options.gigabytes)
    print(f"{source.stat().st_size / 1e9:.1f} GB, {source.stat().st_blocks * 512 / 1e6:.1f} MB on the disk", flush=True)
    for step in options.step or STEPS:
        print(f"{step}: {measure(step, source)}", flush=True)
        for made in [*options.folder.glob("two-*.kx"), *options.folder.glob("net.onnx*")]:
            if step in ("verify", "onnx"):
                made.unlink()


if __name__ == "__main__":
    main()
