"""Models built as Functional Keras models: native layers, variables of their own, files that open without kxchange."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import kxchange as kx  # noqa: E402
from kxchange import ops  # noqa: E402
from kxchange.dims import symbol  # noqa: E402
from kxchange.errors import BuildError, UnsupportedOpError, WriteError  # noqa: E402
from kxchange.graph import Graph, parameter, placeholder  # noqa: E402
from kxchange.model import Function, Model, Parameter, Role  # noqa: E402
from kxchange.spec import REGISTRY  # noqa: E402
from kxchange.testing.backends import Case, cases, sample_inputs, sample_model  # noqa: E402
from kxchange.testing.conformance import compare, reference_results  # noqa: E402
from kxchange.types import DType, TensorType  # noqa: E402
from kxchange_keras.build import build_parts, held_weights  # noqa: E402
from kxchange_keras.gradients import gradients  # noqa: E402
from kxchange_keras.prepare import prepare  # noqa: E402

L = keras.layers
pytestmark = pytest.mark.keras
GENERATOR = np.random.default_rng(5)
HOSTILE = "a b/../é'); import os #"
LAYERS = {
    "linear": (1, 2),
    "embedding": (0,),
    "batch_norm": (1, 2, 3, 4),
    "layer_norm": (1, 2),
    "rms_norm": (1,),
    "group_norm": (1, 2),
    "instance_norm": (1, 2),
    "prelu": (1,),
    "conv": (1, 2),
    "conv_transpose": (1, 2),
    "lstm": (1, 2, 3, 4),
    "gru": (1, 2, 3, 4),
    "rnn": (1, 2, 3, 4),
}
"""Ops that become layers, with the operands that are weights."""


def values(*shape: int) -> Any:
    return GENERATOR.standard_normal(shape).astype(np.float32)


def with_weights(case: Case) -> tuple[Model, dict[str, Any]]:
    """A sample with its weights as parameters."""
    plain = sample_model(case.sample, case.floating, symbolic=case.symbolic)
    inputs = sample_inputs(case.sample, plain, case.floating)
    weights = {f"x{place}" for place in LAYERS[case.sample.op]} & set(plain.input_names)
    node = plain.main.graph.outputs[0].node
    operands = [
        None if v is None else parameter(f"layer.{n}", v.type) if (n := str(v.node.attrs["name"])) in weights else v
        for v in node.inputs
    ]
    outputs = REGISTRY[node.op].emit(operands, node.attrs).outputs
    kept = tuple(v for v in plain.main.graph.inputs if str(v.node.attrs["name"]) not in weights)
    function = Function(Graph(kept, outputs), plain.output_names)
    parameters = [Parameter(f"layer.{name}", inputs[name]) for name in sorted(weights)]
    return Model({"main": function}, parameters), {n: a for n, a in inputs.items() if n not in weights}


def layer_cases() -> list[Case]:
    found = [case for case in cases((DType.FLOAT64,)) if case.sample.op in LAYERS]
    return [c for c in found if _fixed_weights(c) and "empty" not in str(c) and not _is_odd(c)]


def _is_odd(case: Case) -> bool:
    """Sequences of no steps, which Keras's own layers refuse, and a padding that Keras cannot say (see gaps.toml)."""
    x = case.sample.arrays(DType.FLOAT64)[0]
    return x is None or (case.sample.op in REFUSED and x.shape[0] == 0) or "C03" in str(case)


def _fixed_weights(case: Case) -> bool:
    types = case.sample.types(DType.FLOAT64, symbolic=case.symbolic)
    weights = [types[p] for p in LAYERS[case.sample.op] if p < len(types) and types[p] is not None]
    return all(isinstance(size, int) for t in weights for size in t.shape) and all(t.dtype.is_floating for t in weights)


REFUSED = {
    "lstm": "a loop with these activations",
    "gru": "a loop with these activations",
    "rnn": "a loop with these activations",
}


@pytest.mark.parametrize("case", layer_cases(), ids=str)
def test_a_layer_with_weights(case: Case) -> None:
    """Each sample of an op that is a layer of Keras, its weights as the layer's variables, against the reference."""
    model, inputs = with_weights(case)
    try:
        found = list(prepare(model)(inputs).values())
    except UnsupportedOpError as error:
        assert case.sample.op in REFUSED and "scan" in str(error)
        return
    compare(str(case), found, list(reference_results(case.sample, case.floating)), 1e-9)


def mixed_model() -> Model:
    """A tied table, a weight in a layer, one that none can hold, a buffer, and two symbolic sizes."""
    table, weight, free = values(7, 4), values(4, 4), values(1, 3, 4)
    parameters = [
        Parameter("embed.weight", table),
        Parameter(HOSTILE, weight),
        Parameter("free", free),
        Parameter("offset", values(4), role=Role.BUFFER),
        Parameter("head.weight", table, alias_of="embed.weight"),
    ]
    types = {p.name: p.type for p in parameters}
    batch, seq = symbol("batch"), symbol("seq")
    tokens = placeholder("input.ids", TensorType(DType.INT64, (batch, seq)))
    x = ops.embedding(parameter("embed.weight", types["embed.weight"]), tokens)
    x = ops.linear(x, parameter(HOSTILE, types[HOSTILE]))
    x = ops.add(x, ops.mean(parameter("free", types["free"]), axis=(0, 1)))
    x = ops.subtract(x, parameter("offset", types["offset"]))
    x = ops.reshape(x, shape=(batch, seq, 2, 2))
    x = ops.permute_dims(x, axes=(0, 2, 1, 3))
    positions = ops.astype(ops.arange(start=0, stop=seq, dtype=DType.INT64), dtype=DType.FLOAT32)
    x = ops.add(x, ops.expand_dims(positions, axis=(1,)))
    x = ops.reshape(ops.permute_dims(x, axes=(0, 2, 1, 3)), shape=(batch * seq, 4))
    logits = ops.reshape(ops.linear(x, parameter("head.weight", types["head.weight"])), shape=(batch, seq, 7))
    function = Function(Graph((tokens,), (logits,)), ("logits",))
    return Model({"main": function}, parameters)


def tokens(batch: int = 2, seq: int = 5) -> Any:
    return GENERATOR.integers(0, 7, (batch, seq))


def expected(model: Model, ids: Any) -> Any:
    """By hand, in float64."""
    table, weight = model.array("embed.weight").astype(np.float64), model.array(HOSTILE)
    x = table[ids] @ weight.T + model.array("free").mean((0, 1)) - model.array("offset")
    return (x + np.arange(ids.shape[1])[:, None]) @ table.T


def test_every_parameter_is_a_variable_and_sizes_stay_open() -> None:
    model = mixed_model()
    net = model.to("keras")
    for shape in ((2, 5), (1, 1), (3, 7)):
        ids = tokens(*shape)
        np.testing.assert_allclose(np.asarray(net(ids)), expected(model, ids), rtol=2e-5, atol=2e-5)
    held = {w.path: np.asarray(w.value).size for w in net.weights}
    assert sorted(held.values()) == sorted(model.array(n).size for n in ("embed.weight", HOSTILE, "free", "offset"))
    assert [w.path for w in net.non_trainable_weights] == ["offset/embeddings"]
    assert list(held_weights(model)) == list(model.parameters)


def test_gradients_reach_every_parameter() -> None:
    model, ids = mixed_model(), tokens()
    cotangent = values(2, 5, 7)
    found = gradients(model)({"input.ids": ids}, {"logits": cotangent})
    assert set(found) == {f"parameter {name}" for name in ("embed.weight", HOSTILE, "free")}
    step = 1e-2
    for name in (HOSTILE, "free", "embed.weight"):
        direction = values(*model.array(name).shape)

        def moved(sign: float, name: str = name, direction: Any = direction) -> float:
            array = model.array(name).astype(np.float64) + sign * step * direction
            changed = [p.replace(data=array) if p.name == name else p for p in model.parameters.values()]
            return float((expected(model.replace(parameters=changed), ids) * cotangent).sum())

        slope = (moved(1) - moved(-1)) / (2 * step)
        np.testing.assert_allclose((found[f"parameter {name}"] * direction).sum(), slope, rtol=2e-3)


OPENED = """
import sys, numpy as np
sys.modules["kxchange"] = sys.modules["kxchange_keras"] = None  # not to be found
import keras
net = keras.saving.load_model(sys.argv[1])
ids = np.load(sys.argv[2])
before = [np.asarray(keras.ops.convert_to_numpy(w)) for w in net.trainable_weights]
np.save(sys.argv[3], keras.ops.convert_to_numpy(net(ids)))
net.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
net.fit(ids, np.zeros((*ids.shape, 7), "float32"), epochs=1, verbose=0)
after = [np.asarray(keras.ops.convert_to_numpy(w)) for w in net.trainable_weights]
assert len(before) == 3 and all((a != b).any() for a, b in zip(before, after)), "not trained"
"""


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_a_file_opens_and_trains_without_kxchange(backend: str, tmp_path: Path) -> None:
    model, ids = mixed_model(), tokens()
    assert kx.save(model, tmp_path / "net.keras") == [tmp_path / "net.keras"]
    assert [path.name for path in tmp_path.iterdir()] == ["net.keras"]
    np.save(tmp_path / "ids.npy", ids)
    command = [sys.executable, "-c", OPENED, "net.keras", "ids.npy", "out.npy"]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected(model, ids), rtol=2e-5, atol=2e-5)


def test_nothing_in_a_file_is_code(tmp_path: Path) -> None:
    kx.save(mixed_model(), tmp_path / "net.keras")
    with zipfile.ZipFile(tmp_path / "net.keras") as archive:
        config = json.loads(archive.read("config.json"))
    modules = {layer["module"] for layer in config["config"]["layers"]}
    assert modules <= {"keras.layers", "keras.src.ops.numpy", "keras.src.ops.core", "keras.src.ops.nn"}
    assert "Lambda" not in json.dumps(config)


def test_a_file_comes_back(tmp_path: Path) -> None:
    model, ids = mixed_model(), tokens()
    kx.save(model, tmp_path / "net.keras")
    back = kx.load(tmp_path / "net.keras")
    (found,) = back(**{back.input_names[0]: ids}).values()
    np.testing.assert_allclose(found, expected(model, ids), rtol=2e-5, atol=2e-5)


def native_models() -> dict[str, Any]:
    x, sequence = keras.Input((16, 16, 3)), keras.Input((None, 8))
    attended = L.MultiHeadAttention(2, 4)(sequence, sequence)
    return {
        "images": keras.Sequential(
            [
                keras.Input((16, 16, 3)),
                L.Conv2D(8, 3, strides=2, padding="same", use_bias=False),
                L.BatchNormalization(),
                L.ReLU(),
                L.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
                L.MaxPooling2D(),
                L.Conv2DTranspose(4, 3, strides=2, padding="same"),
                L.Conv2DTranspose(4, 2, strides=3),
                L.Conv2D(6, 3, groups=2, dilation_rate=2),
                L.GroupNormalization(3),
                L.AveragePooling2D(3, 1, padding="same"),
                L.GlobalAveragePooling2D(),
                L.Dense(5, "softmax"),
            ]
        ),
        "sequences": keras.Sequential(
            [
                keras.Input((None, 4)),
                L.LSTM(6, return_sequences=True, go_backwards=True),
                L.Bidirectional(L.GRU(3, return_sequences=True)),
                L.SimpleRNN(5, return_sequences=True),
                L.GRU(5, reset_after=False),
                L.Dense(2),
            ]
        ),
        "attention": keras.Model(sequence, L.Dense(16, "gelu")(L.LayerNormalization()(attended + sequence))),
        "branches": keras.Model(x, [L.PReLU(shared_axes=[1, 2])(L.Conv2D(4, 1)(x)), L.UnitNormalization()(x)]),
    }


@pytest.mark.parametrize("kind", list(native_models()))
def test_keras_to_keras(kind: str) -> None:
    """The same layers' variables under the same names, no transposes, the same numbers."""
    net = native_models()[kind]
    for weight in net.weights:
        if "seed" not in weight.path:
            weight.assign(np.abs(values(*weight.shape)) * 0.5)
    built = build_parts(kx.capture(net))
    assert not built.hosted
    last = ["/".join(w.path.replace("--", "/").split("/")[-2:]) for w in built.net.weights]
    assert last == ["/".join(w.path.split("/")[-2:]) for w in net.weights if "seed" not in w.path]
    assert not any(type(operation).__name__ == "Transpose" for operation in built.net.operations) or kind == "attention"
    x = values(2, *(size or 5 for size in net.inputs[0].shape[1:]))
    for own, found in zip(keras.tree.flatten(net(x)), keras.tree.flatten(built.net(x)), strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(own), rtol=1e-5, atol=1e-6)


def test_a_layer_used_twice_is_one_layer() -> None:
    shared = L.Dense(4, name="shared")
    x = keras.Input((4,))
    built = kx.capture(keras.Model(x, shared(L.ReLU()(shared(x))))).to("keras")
    assert [w.path for w in built.weights] == ["shared/kernel", "shared/bias"]


def test_a_parameter_called_as_an_operation() -> None:
    weight = values(4, 4)
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 4)))
    y = ops.add(ops.linear(ops.add(x, x), parameter("add.weight", TensorType(DType.FLOAT32, (4, 4)))), x)
    net = Model({"main": Function(Graph((x,), (y,)), ("y",))}, [Parameter("add.weight", weight)]).to("keras")
    data = values(3, 4)
    np.testing.assert_allclose(np.asarray(net(data)), 2 * data @ weight.T + data, rtol=1e-5, atol=1e-6)


def test_loops_and_branches_are_named() -> None:
    chosen = [c for c in cases((DType.FLOAT64,)) if c.sample.op in ("cond", "while_loop", "scan")]
    for case in {c.sample.op: c for c in chosen}.values():
        with pytest.raises(UnsupportedOpError) as caught:
            sample_model(case.sample, symbolic=case.symbolic).to("keras")
        assert case.sample.op in {blocker.op for blocker in caught.value.blockers}


@pytest.mark.parametrize("shapes", [((4, 3, 1), (3,)), ((2, 3, 3), (3, 1)), ((4, 3, 1), (1, 3)), ((3,), (4, 3, 1))])
def test_sums_broadcast_and_are_no_biases(shapes: Any) -> None:
    """Keras's own sum adds the second operand along the wrong axis here, under TensorFlow, without a word."""
    places = [placeholder(f"x{i}", TensorType(DType.FLOAT32, shape)) for i, shape in enumerate(shapes)]
    model = Model({"main": Function(Graph(tuple(places), (ops.add(*places),)), ("y",))})
    given = [values(*shape) for shape in shapes]
    found = prepare(model)(dict(zip(model.input_names, given, strict=True)))["y"]
    np.testing.assert_array_equal(found, given[0] + given[1])


def test_several_symbolic_sizes_in_one_reshape() -> None:
    batch, seq = symbol("batch"), symbol("seq")
    x = placeholder("x", TensorType(DType.FLOAT32, (batch, 4, seq, seq)))
    y = ops.reshape(ops.add(x, x), shape=(4 * batch, seq, seq))
    back = ops.reshape(ops.multiply(y, y), shape=(batch, 2, 2, seq, seq))
    run = prepare(Model({"main": Function(Graph((x,), (y, back)), ("y", "back"))}))
    for sizes in ((1, 3), (2, 1), (3, 5)):
        data = values(sizes[0], 4, sizes[1], sizes[1])
        found = run({"x": data})
        np.testing.assert_array_equal(found["y"], (2 * data).reshape(-1, sizes[1], sizes[1]))
        np.testing.assert_array_equal(found["back"], ((2 * data) ** 2).reshape(-1, 2, 2, sizes[1], sizes[1]))


def test_a_model_without_inputs_is_refused() -> None:
    y = ops.full(shape=(2,), value=1.0, dtype=DType.FLOAT32)
    with pytest.raises(BuildError, match="needs an input"):
        Model({"main": Function(Graph((), (y,)), ("y",))}).to("keras")


def test_whole_numbers_that_no_float_holds_are_refused() -> None:
    x = placeholder("x", TensorType(DType.INT64, (symbol("batch"),)))
    y = ops.add(x, parameter("big", TensorType(DType.INT64, (1,))))
    model = Model({"main": Function(Graph((x,), (y,)), ("y",))}, [Parameter("big", np.asarray([2**60 + 1]))])
    with pytest.raises(BuildError, match="beyond what a float64 holds"):
        model.to("keras")
    small = model.replace(parameters=[Parameter("big", np.asarray([2**40 + 1]))])
    assert int(prepare(small)({"x": np.asarray([5])})["y"][0]) == 2**40 + 6


def test_a_file_needs_its_suffix(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"called \*\.keras"):
        kx.save(mixed_model(), tmp_path / "net.bin", to="keras")


def test_private_apis() -> None:
    from kxchange_keras.private import operation_names

    x = keras.Input((4,))
    y = keras.ops.exp(L.Dense(3, name="exponent")(x))
    (name,) = operation_names([y])
    assert name.startswith("exp") and name != "exponent"


def test_a_parameter_that_nothing_reads_is_kept(tmp_path: Path) -> None:
    """Its variable is in the model and in the file, and changes no output even where it is not finite."""
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 3)))
    unread = Parameter("tower/unread", np.array([[1.0, np.inf], [np.nan, 2.0]], np.float32))
    model = Model({"main": Function(Graph((x,), (ops.tanh(x),)), ("y",))}, [unread])
    net = model.to("keras")
    assert [w.path.partition("/embeddings")[0] for w in net.weights] == ["tower--unread"]
    given = np.ones((2, 3), np.float32)
    assert np.allclose(net(given), np.tanh(given))
    kx.save(model, tmp_path / "net.keras")
    (held,) = keras.saving.load_model(tmp_path / "net.keras").weights
    assert np.array_equal(np.asarray(held).reshape(2, 2), unread.array, equal_nan=True)


def test_a_separable_convolution_stays_one_layer() -> None:
    x = keras.Input((9, 9, 3), name="x")
    y = L.SeparableConv2D(4, 3, strides=2, padding="same", depth_multiplier=2, name="whole")(x)
    net = keras.Model(x, L.Conv2D(2, 1, name="point")(L.DepthwiseConv2D(3, use_bias=False, name="depth")(y)))
    built = kx.capture(net).to("keras")
    kinds = [type(layer).__name__ for layer in built.layers[1:]]
    assert kinds == ["SeparableConv2D", "DepthwiseConv2D", "Conv2D"]
    assert [w.path for w in built.weights] == [w.path for w in net.weights]
    given = np.random.default_rng(0).normal(size=(2, 9, 9, 3)).astype(np.float32)
    assert np.allclose(built(given), net(given), atol=1e-6)
