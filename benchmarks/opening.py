"""Opening a file beside the other readers: the header of files of 1 MB to 4 GiB, and 4 GiB of weights into each framework."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import kxchange as kx
from benchmarks.rows import PeerError, Row, alternate, fresh
from kxchange import ops
from kxchange.dims import symbol
from kxchange.format.reader import TensorFile
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType

TITLE = "Open"
ABOUT = (
    "A stack of 64 linear layers in one file. The first rows open the file: its header alone beside `safe_open`, the "
    "architecture too beside readers of whole models. The last bring every weight of 4 GiB into a framework's own "
    "arrays and add up the first element of each, each in a fresh process."
)
LAYERS = 64
MEGABYTES = {"1 MB": 1, "64 MB": 64, "4 GiB": 4096}
# Ours: the weights as the framework has them after `to`; the peer: its loader of the same file.
WORK = {
    "numpy": ("safetensors.numpy", "[entry.array for entry in model.parameters.values()]"),
    "torch": ("safetensors.torch", "list(model.to('torch').parameters())"),
    "jax": ("safetensors.flax", "jax.tree_util.tree_leaves(model.to('jax').params)"),
    "tensorflow": ("safetensors.tensorflow", "model.to('tensorflow').variables"),
}
IMPORTS = {"numpy": "numpy", "torch": "torch", "jax": "jax", "tensorflow": "tensorflow"}


def layers(megabytes: int) -> Model:
    """As many weights as fill the size; the values are one number, so that making them takes no memory."""
    side = int((megabytes * 2**20 / LAYERS / 4) ** 0.5)
    flat = np.lib.stride_tricks.as_strided(np.ones(1, np.float32), (side, side), (0, 0))
    entries = [Parameter(f"layers.{index}.weight", flat) for index in range(LAYERS)]
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), side)))
    value = x
    for entry in entries:
        value = ops.linear(value, parameter(entry.name, entry.type))
    return Model({"main": Function(Graph((x,), (value,)), ("y",))}, entries)


def _peers(path: Path, megabytes: int) -> Iterator[tuple[str, float | None, Callable[[], Any], Callable[[], Any]]]:
    """Name, aim and action of each reader that can hold the same weights, and what of ours does as much."""
    import torch
    from safetensors import safe_open

    def header() -> Any:
        with safe_open(path, "numpy") as file:
            names = list(file.keys())
            return file.get_slice(names[0]).get_shape()

    yield "safetensors.safe_open", 1.5, header, lambda: TensorFile.open(path, strict=True).close()
    saved = path.with_suffix(".pt")
    side = int((megabytes * 2**20 / LAYERS / 4) ** 0.5)
    torch.save({f"layers.{i}.weight": torch.ones(side, side) for i in range(LAYERS)}, saved)
    load = partial(kx.load, path)
    yield "torch.load(mmap=True)", None, lambda: torch.load(saved, mmap=True), load
    if megabytes <= 64:
        import onnx

        exported = path.with_suffix(".onnx")
        kx.save(kx.load(path), exported)
        yield "onnx.load", None, lambda: onnx.load(exported), load


def headers(folder: Path) -> Iterator[Row]:
    """Opening alone."""
    for size, megabytes in MEGABYTES.items():
        path = folder / "net.kx"
        kx.save(layers(megabytes), path)
        for name, aim, action, own in _peers(path, megabytes):
            ours, theirs = alternate(own, action, 15)
            case = "header" if name.startswith("safetensors") else "kx.load"
            yield Row(f"{size}: {case}", name, ours * 1e3, theirs * 1e3, "ms", aim)


def weights(folder: Path) -> Iterator[Row]:
    """Four gibibytes into each framework."""
    path, plain = folder / "net.kx", folder / "net.safetensors"
    kx.save(layers(4096), path)
    plain.symlink_to(path)  # A `.kx` is a safetensors file.
    kx.save(layers(1), folder / "small.kx")
    for name, (module, arrays) in WORK.items():
        quiet = "os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'"
        warm = f"model = kx.load(sys.argv[2])\n{arrays}"  # imports are not counted
        first = "print(sum(float(array[0, 0]) for array in {}))"
        ours = f"{quiet}\nimport {IMPORTS[name]}, kxchange as kx\n{warm}"
        theirs = f"{quiet}\nimport {IMPORTS[name]}\nfrom {module} import load_file\nload_file(sys.argv[2])"
        small = str(folder / "small.kx")
        try:
            mine = fresh(ours, f"model = kx.load(sys.argv[1])\n{first.format(arrays)}", str(path), small)
            other = fresh(theirs, first.format("load_file(sys.argv[1]).values()"), str(plain), small)
        except PeerError as error:
            print(f"  {name}: not measured: {error}")
            continue
        aim = 0.01 if name in ("numpy", "jax", "tensorflow") else None
        yield Row(f"4 GiB into {name}", f"{module}.load_file", mine["s"], other["s"], "s", aim)
        yield Row(f"4 GiB into {name}, memory", f"{module}.load_file", mine["MB"], other["MB"], "MB")


def rows() -> Iterator[Row]:
    """Headers, then weights."""
    with tempfile.TemporaryDirectory() as name:
        yield from headers(Path(name))
    with tempfile.TemporaryDirectory() as name:
        yield from weights(Path(name))
