"""How the work grows with the nodes of a model: seconds of processor time per stage at 1,000, 10,000 and 100,000 nodes.

    python -m benchmarks.growth                     1,000 and 10,000 nodes
    python -m benchmarks.growth --sizes 5000        one size
    python -m benchmarks.growth --large             100,000 as well

The model is an ONNX transformer as old exporters write it: norms, GELU and attention dissolved, head sizes computed with
``Shape``, ``Gather`` and ``Concat``. The last column says how much more than proportionally a stage has grown.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import kxchange as kx
from benchmarks.rows import Row
from kxchange.graph import Graph
from kxchange.passes.common_subexpressions import merge_common_subexpressions
from kxchange.passes.legalize import legalize
from kxchange.passes.recompose import recompose
from kxchange.passes.simplify import simplify
from kxchange.spec import REGISTRY

TITLE = "Grow"
ABOUT = (
    "An ONNX transformer as old exporters write it, of 10,000 nodes: processor time of each stage beside ten times what "
    "the stage takes at 1,000 nodes. 1 is linear growth."
)
WIDTH, HEADS = 8, 2


class Writer:
    """Nodes and initializers of one ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.random = np.random.default_rng(0)

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.initializers)}"
        array = self.random.normal(size=shape).astype(np.float32) / 3
        self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def constant(self, array: Any) -> str:
        array = np.asarray(array)
        name = f"c{array.dtype}_{'_'.join(map(str, array.reshape(-1)))}_{array.ndim}"
        self.initializers.setdefault(name, numpy_helper.from_array(array, name))
        return name


def norm(w: Writer, x: str) -> str:
    """A LayerNorm of ten nodes."""
    centred = w("Sub", x, w("ReduceMean", x, axes=[-1]))
    variance = w("ReduceMean", w("Pow", centred, w.constant(np.float32(2))), axes=[-1])
    scaled = w("Div", centred, w("Sqrt", w("Add", variance, w.constant(np.float32(1e-5)))))
    return w("Add", w("Mul", scaled, w.weight(WIDTH)), w.weight(WIDTH))


def linear(w: Writer, x: str, rows: int, columns: int) -> str:
    return w("Add", w("MatMul", x, w.weight(rows, columns)), w.weight(columns))


def heads(w: Writer, x: str) -> str:
    """(b, s, width) to (b, heads, s, head)."""
    sizes = [w("Unsqueeze", w("Gather", w("Shape", x), w.constant(np.int64(axis))), axes=[0]) for axis in (0, 1)]
    shape = w("Concat", *sizes, w.constant(np.array([HEADS, WIDTH // HEADS])), axis=0)
    return w("Transpose", w("Reshape", x, shape), perm=[0, 2, 1, 3])


def attention(w: Writer, x: str) -> str:
    query, key, value = (heads(w, linear(w, x, WIDTH, WIDTH)) for _ in range(3))
    scores = w("MatMul", query, w("Transpose", key, perm=[0, 1, 3, 2]))
    weights = w("Softmax", w("Div", scores, w.constant(np.float32(2.0))), axis=3)
    mixed = w("Transpose", w("MatMul", weights, value), perm=[0, 2, 1, 3])
    sizes = [w("Unsqueeze", w("Gather", w("Shape", mixed), w.constant(np.int64(axis))), axes=[0]) for axis in (0, 1)]
    joined = w("Reshape", mixed, w("Concat", *sizes, w.constant(np.array([WIDTH])), axis=0))
    return linear(w, joined, WIDTH, WIDTH)


def gelu(w: Writer, x: str) -> str:
    inner = w("Erf", w("Div", x, w.constant(np.float32(1.4142135))))
    return w("Mul", w("Mul", x, w("Add", inner, w.constant(np.float32(1)))), w.constant(np.float32(0.5)))


def transformer(nodes: int) -> onnx.ModelProto:
    """Layers until there are as many nodes."""
    w, x = Writer(), "x"
    while len(w.nodes) < nodes:
        x = w("Add", x, attention(w, norm(w, x)))
        x = w("Add", x, linear(w, gelu(w, linear(w, norm(w, x), WIDTH, 2 * WIDTH)), 2 * WIDTH, WIDTH))
    sizes = ["batch", "seq", WIDTH]
    graph = helper.make_graph(
        w.nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, sizes)], list(w.initializers.values()),
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)


class Clock:
    """Seconds of processor time by stage."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    def __call__(self, stage: str, work: Callable[[], Any]) -> Any:
        gc.collect()
        start = time.process_time()
        result = work()
        self.times[stage] = time.process_time() - start
        return result


def measure(nodes: int, folder: Path, backends: list[str]) -> dict[str, float]:
    """Every stage on a model of as many nodes."""
    clock, source = Clock(), folder / "source.onnx"
    onnx.save(transformer(nodes), source)
    model = clock("load .onnx to canonical form", lambda: kx.load(source))
    graph: Graph = legalize(model.functions["main"].graph, lambda node: REGISTRY[node.op].primitive, "primitives")
    dissolved = clock("  simplify what is dissolved", lambda: simplify(graph))
    clock("  recompose it", lambda: recompose(dissolved))
    clock("  merge equal expressions", lambda: merge_common_subexpressions(dissolved))
    clock("save .kx", lambda: kx.save(model, folder / "net.kx"))
    clock("load .kx", lambda: kx.load(folder / "net.kx"))
    clock("save .onnx", lambda: kx.save(model, folder / "net.onnx"))
    clock("load our .onnx", lambda: kx.load(folder / "net.onnx"))
    feed = {"x": np.ones((1, 2, WIDTH), np.float32)}
    clock("run on numpy", lambda: model(**feed))
    for backend in backends:
        clock(f"build for {backend}", lambda backend=backend: model.to(backend))
    return clock.times


def rows() -> Iterator[Row]:
    """Every stage at 10,000 nodes beside ten times what it takes at 1,000."""
    backends = ["onnx", "torch"]
    found: list[dict[str, float]] = []
    for size in (200, 1_000, 10_000):  # The first makes imports and tables.
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(size, Path(folder), backends))
    for stage, seconds in found[-1].items():
        yield Row(stage.strip(), "10 times 1,000 nodes", seconds, 10 * max(found[1][stage], 1e-3), "s", 1.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--large", action="store_true", help="100,000 nodes as well")
    parser.add_argument("--backends", nargs="*", default=["onnx", "torch"])
    options = parser.parse_args()
    sizes = [*options.sizes, *([100_000] if options.large else [])]
    with tempfile.TemporaryDirectory() as first:
        measure(200, Path(first), options.backends)  # imports and tables that are made once
    found: list[dict[str, float]] = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(size, Path(folder), options.backends))
    print(f"{'stage':32}" + "".join(f"{size:>10,}" for size in sizes) + f"{'beyond linear':>16}")
    for stage, seconds in found[-1].items():
        row = "".join(f"{times[stage]:10.2f}" for times in found)
        growth = seconds / max(found[0][stage], 1e-3) / (sizes[-1] / sizes[0])
        print(f"{stage:32}{row}{growth if len(sizes) > 1 else 1:16.2f}")


if __name__ == "__main__":
    main()
