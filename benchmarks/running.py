"""Converted models beside the originals on the same framework, both compiled alike, in turn in one process."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import kxchange as kx
from benchmarks.rows import Row, alternate

TITLE = "Run"
ABOUT = (
    "The model after a round trip through the canonical form, beside the original on the same framework: the median of "
    "40 calls of each in turn, batch 2. ONNX Runtime has no original: its peer is the file that `torch.onnx.export` "
    "writes. Aims: a median of at most 1.05, no case above 1.2."
)
RUNS = 40
WORST = 1.2
COMPILED = ("bert", "resnet")
Call = Callable[[], Any]


def _row(case: str, peer: str, ours: Call, theirs: Call) -> Row:
    for call in (ours, theirs) * 3:
        call()
    mine, other = alternate(ours, theirs, RUNS)
    return Row(case, peer, mine * 1e3, other * 1e3, "ms", WORST)


def on_torch() -> Iterator[Row]:
    """Eager for all, compiled for some."""
    import torch

    from benchmarks.onnx_latency import MODELS, Bare, dims_of, inputs_of

    torch.set_num_threads(1)
    for name, make in MODELS.items():
        torch.manual_seed(0)
        inputs = inputs_of(name)
        net = Bare(make().eval(), tuple(inputs)).eval()
        args, dims = tuple(inputs.values()), dims_of(inputs)
        model = kx.capture(net, *args, dynamic={f"args.{i}": dims[n] for i, n in enumerate(inputs)})
        built = model.to("torch").eval()
        with torch.inference_mode():
            yield _row(f"{name} on torch", "the original", lambda m=built, a=args: m(*a), lambda m=net, a=args: m(*a))
        if name in COMPILED:
            pair = [torch.compile(module) for module in (built, net)]
            with torch.no_grad():
                ours, theirs = (lambda m=module, a=args: m(*a) for module in pair)
                yield _row(f"{name} on torch, compiled", "the original, compiled", ours, theirs)


def on_onnx(folder: Path) -> Iterator[Row]:
    """Files beside those of torch's exporter, where that is installed."""
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        print("  ONNX Runtime: onnxscript, which torch.onnx.export needs, is not installed")
        return
    from benchmarks.onnx_latency import MODELS, export, session

    for name in MODELS:
        ours, theirs, arrays = export(name, folder)
        pair = [session(path) for path in (ours, theirs)]
        feeds = [dict(zip([i.name for i in s.get_inputs()], arrays.values(), strict=True)) for s in pair]
        calls = [lambda s=s, feed=feed: s.run(None, feed) for s, feed in zip(pair, feeds, strict=True)]
        yield _row(f"{name} on ONNX Runtime", "torch.onnx.export", *calls)
        moved = [_moves(path) for path in (ours, theirs)]
        yield Row(f"{name}: Transpose and Cast nodes", "torch.onnx.export", *moved, "", 1.0)


def _moves(path: Path) -> float:
    """Nodes that only move or convert numbers."""
    import onnx

    return float(sum(node.op_type in ("Transpose", "Cast") for node in onnx.load(path).graph.node))


def on_jax() -> Iterator[Row]:
    """Under `jit` on both sides."""
    import jax

    from benchmarks.flax_models import MODELS

    for name, make in MODELS.items():
        net, example = make()
        params = net.init(jax.random.key(0), example)
        built = kx.capture(net, params, example).to("jax")
        ours, theirs = jax.jit(lambda p, x, built=built: built.apply(p, x)), jax.jit(net.apply)
        yield _row(
            f"{name} on JAX",
            "the original",
            lambda f=ours, p=built.params, x=example: jax.block_until_ready(f(p, x)),
            lambda f=theirs, p=params, x=example: jax.block_until_ready(f(p, x)),
        )


def on_keras() -> Iterator[Row]:
    """Keras models on TensorFlow and TensorFlow modules, in graph mode on both sides."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    from benchmarks.conversions import KERAS_MODELS

    for name, expression in KERAS_MODELS.items():
        net = eval(expression, {"keras": keras})
        x = tf.constant(np.random.default_rng(0).normal(size=(2, *net.input_shape[1:])).astype(np.float32))
        model = kx.capture(net)
        original = tf.function(lambda x, net=net: net(x, training=False))
        rebuilt = model.to("keras")
        again = tf.function(lambda x, rebuilt=rebuilt: rebuilt(x, training=False))
        yield _row(f"{name} on Keras", "the original", lambda f=again, x=x: f(x), lambda f=original, x=x: f(x))
        module = model.to("tensorflow")
        yield _row(
            f"{name} on TensorFlow", "the Keras original", lambda f=module, x=x: f(x), lambda f=original, x=x: f(x)
        )


def rows() -> Iterator[Row]:
    """Every framework."""
    warnings.simplefilter("ignore")
    yield from on_torch()
    with tempfile.TemporaryDirectory() as folder:
        yield from on_onnx(Path(folder))
    yield from on_jax()
    yield from on_keras()
