"""What users wait for, beside the peer or the physical limit in one run: `make bench`. Medians and ratios."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import kxchange as kx
from kxchange import ops
from kxchange.dims import symbol
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType

RUNS = 5


def median(action: Callable[[], Any], runs: int = RUNS) -> float:
    """Median wall time in seconds."""
    times: list[float] = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def command(*arguments: str) -> Callable[[], Any]:
    """Run `kx` in a fresh process."""
    return lambda: subprocess.run([sys.executable, "-m", "kxchange", *arguments], check=True, capture_output=True)


def big_model(gigabytes: int) -> Model:
    """Layers of 64 MiB whose values are one number: the file is full size, the memory is not."""
    shape = (4096, 4096)
    flat = np.lib.stride_tricks.as_strided(np.ones(1, np.float32), shape, (0, 0))
    entries = [Parameter(f"w{index}", flat) for index in range(16 * gigabytes)]
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), shape[1])))
    value = x
    for entry in entries:
        value = ops.linear(value, parameter(entry.name, entry.type))
    return Model({"main": Function(Graph((x,), (value,)), ("y",))}, entries)


def startup() -> None:
    """A bare interpreter beside the import and the help."""
    bare = median(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
    imported = median(lambda: subprocess.run([sys.executable, "-c", "import kxchange"], check=True))
    shown = median(command("--help"))
    print(
        f"start-up: python {bare * 1e3:.0f} ms, import kxchange {imported * 1e3:.0f} ms, kx --help {shown * 1e3:.0f} ms"
    )


def files(folder: Path, gigabytes: int = 4) -> None:
    """Save beside a plain copy with fsync; open and inspect beside `safetensors.safe_open`."""
    from safetensors import safe_open

    path = folder / "big.kx"
    saved = median(lambda: kx.save(big_model(gigabytes), path), runs=1)
    copied = median(lambda: (shutil.copyfile(path, folder / "copy"), subprocess.run(["sync", str(folder / "copy")])), 1)
    opened = median(lambda: kx.load(path))
    peer = median(lambda: safe_open(path, "numpy").__enter__().keys())
    inspected = median(command("inspect", "-q", str(path)))
    print(f"{gigabytes} GiB: save {saved:.1f} s, plain copy {copied:.1f} s, ratio {saved / copied:.2f}")
    times = f"load {opened * 1e3:.1f} ms, safetensors header {peer * 1e3:.1f} ms; kx inspect {inspected:.2f} s"
    print(f"{gigabytes} GiB: {times}")


def capture(folder: Path) -> None:
    """Capture and save beside `torch.export.export` of the same module."""
    import torch
    import transformers as hf

    warnings.simplefilter("ignore")
    config = hf.BertConfig(
        vocab_size=100, hidden_size=64, num_hidden_layers=12, num_attention_heads=4, intermediate_size=128
    )
    module = hf.BertModel(config).eval()
    ids = torch.randint(0, 100, (2, 9))
    call = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    dims = {0: torch.export.Dim("batch"), 1: torch.export.Dim("seq", max=512)}
    names = dict.fromkeys(call, ("batch", "seq"))
    shapes = dict.fromkeys(call, dims)
    exported = median(lambda: torch.export.export(module, (), call, dynamic_shapes=shapes, strict=False), 3)
    ours = median(lambda: kx.save(kx.capture(module, dynamic=names, **call), folder / "bert.kx"), 3)
    print(f"BERT, 12 layers: torch.export {exported:.2f} s, capture and save {ours:.2f} s, ratio {ours / exported:.2f}")


def main() -> None:
    """Run everything."""
    startup()
    with tempfile.TemporaryDirectory() as name:
        capture(Path(name))
        files(Path(name))


if __name__ == "__main__":
    main()
