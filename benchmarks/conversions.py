"""The conversions that are measured, as code: what makes the model, our conversion, and the peer's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.onnx_latency import MODELS

TORCH = """
import torch
from benchmarks.onnx_latency import MODELS, Bare, dims_of, inputs_of
torch.manual_seed(0)
inputs = inputs_of({name!r})
dims = dims_of(inputs)
net = Bare(MODELS[{name!r}]().eval(), tuple(inputs)).eval()
"""
TORCH_OURS = """
kx.save(kx.capture(net, *inputs.values(), dynamic={f"args.{i}": dims[n] for i, n in enumerate(inputs)}), out)
"""
TORCH_PEER = """
dynamic = tuple({a: torch.export.Dim.DYNAMIC for a, d in enumerate(dims[n]) if d is not None} for n in inputs)
torch.onnx.export(
    net, tuple(inputs.values()), out, dynamo=True, verbose=False, input_names=list(inputs), dynamic_shapes=(dynamic,)
)
"""
KERAS = """
import os
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np
keras.utils.set_random_seed(0)
net = {expression}
net(np.zeros((1, *net.input_shape[1:]), np.float32))
"""
KERAS_MODELS = {
    "MobileNetV2": "keras.applications.MobileNetV2(weights=None)",
    "ResNet50": "keras.applications.ResNet50(weights=None)",
    "LSTM": "keras.Sequential([keras.Input((40, 32)), keras.layers.LSTM(128, return_sequences=True), "
    "keras.layers.LSTM(128), keras.layers.Dense(10)])",
}
JAX = """
import jax, jax.numpy as jnp
from benchmarks.flax_models import MODELS
net, example = MODELS[{name!r}]()
params = net.init(jax.random.key(0), example)
"""
JAX_PEER = """
to_onnx(lambda x: net.apply(params, x), [("batch", *example.shape[1:])], return_mode="file", output_path=out)
"""


@dataclass(frozen=True)
class Conversion:
    """One case; `work` and `peer_work` write to `out`, and what they need is made by `setup`."""

    case: str
    peer: str
    package: str
    setup: str
    work: str
    peer_work: str
    suffix: str
    imports: str = ""
    """The modules of our converters, for the peers' imports are not counted either."""
    peer_imports: str = ""
    source: str = ""
    """Writes the file `source` that both convert, in the peer's environment."""


def conversions() -> list[Conversion]:
    """Every case, each against the converter that people use for it."""
    return [*_from_torch(), *_to_torch(), *_from_keras(), *_from_jax()]


def _from_torch() -> Iterator[Conversion]:
    imports = "import kxchange_torch.capture, kxchange_onnx.save"
    for name in MODELS:
        setup = TORCH.format(name=name)
        case = f"{name}: torch to ONNX"
        peer = "torch.onnx.export"
        yield Conversion(case, peer, "onnxscript", setup, TORCH_OURS, TORCH_PEER, ".onnx", imports, "import onnxscript")


def _to_torch() -> Iterator[Conversion]:
    imports = "import kxchange_onnx.load, kxchange_torch.build"
    for name in ("resnet", "convnext"):  # onnx2torch does not take what exporters write for the others.
        source = TORCH.format(name=name) + TORCH_PEER.replace(" out,", " source,")
        ours, theirs = "kx.load(source).to('torch')", "convert(source)"
        peer_imports = "from onnx2torch import convert"
        case = f"{name}: ONNX to torch"
        yield Conversion(
            case, "onnx2torch", "onnx2torch", "import torch", ours, theirs, "", imports, peer_imports, source
        )


def _from_keras() -> Iterator[Conversion]:
    capture = "import kxchange_keras.capture, "
    for name, expression in KERAS_MODELS.items():
        setup = KERAS.format(expression=expression)
        onnx, folder = "net.export(out, format='onnx', verbose=False)", "net.export(out, verbose=False)"
        yield Conversion(
            f"{name}: Keras to ONNX", "Keras export (tf2onnx)", "tf2onnx", setup, "kx.save(kx.capture(net), out)", onnx,
            ".onnx", capture + "kxchange_onnx.save", "import tf2onnx",
        )  # fmt: skip
        yield Conversion(
            f"{name}: Keras to SavedModel", "Keras export", "keras", setup,
            "kx.save(kx.capture(net), out, to='tensorflow')", folder, "", capture + "kxchange_tensorflow.save",
        )  # fmt: skip
        yield Conversion(
            f"{name}: SavedModel to ONNX", "tf2onnx", "tf2onnx", "import tensorflow", "kx.save(kx.load(source), out)",
            "sys.argv = ['x', '--saved-model', source, '--output', out]; main()", ".onnx",
            "import kxchange_tensorflow.load, kxchange_onnx.save", "from tf2onnx.convert import main",
            setup + "net.export(source, verbose=False)",
        )  # fmt: skip


def _from_jax() -> Iterator[Conversion]:
    for name in ("cnn", "transformer"):
        yield Conversion(
            f"{name}: Flax to ONNX", "jax2onnx", "jax2onnx", JAX.format(name=name),
            "kx.save(kx.capture(net, params, example), out)", JAX_PEER, ".onnx",
            "import kxchange_jax.capture, kxchange_onnx.save", "from jax2onnx import to_onnx",
        )  # fmt: skip
