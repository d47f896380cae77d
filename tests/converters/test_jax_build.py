"""What `model.to("jax")` gives: a params pytree and pure functions, under every transformation JAX users write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax import export  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange import ops  # noqa: E402
from kxchange.dims import symbol  # noqa: E402
from kxchange.errors import InputError, WeightError  # noqa: E402
from kxchange.graph import Graph, parameter, placeholder  # noqa: E402
from kxchange.model import Function, Model, Parameter, Role  # noqa: E402
from kxchange.types import DType, TensorType  # noqa: E402
from kxchange_jax.dims_out import symbolic_inputs  # noqa: E402
from kxchange_jax.private import wide_integers  # noqa: E402

pytestmark = pytest.mark.jax

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((11, 4)).astype(np.float32)
WEIGHT = RNG.standard_normal((3, 4)).astype(np.float32)
BIAS = RNG.standard_normal(3).astype(np.float32)
OFFSETS = np.array([1, 2**40], np.int64)


def classifier() -> Model:
    """Token ids -> mean embedding -> linear; a buffer of 64-bit numbers is read, too."""
    ids = placeholder("ids", TensorType(DType.INT64, (symbol("batch"), symbol("seq"))))
    table = parameter("embed.weight", TensorType(DType.FLOAT32, (11, 4)))
    weight = parameter("head.weight", TensorType(DType.FLOAT32, (3, 4)))
    bias = parameter("head.bias", TensorType(DType.FLOAT32, (3,)))
    offsets = parameter("head.offsets", TensorType(DType.INT64, (2,)))
    features = ops.mean(ops.take(table, ids, axis=0), axis=(1,))
    logits = ops.linear(features, weight, bias)
    outputs = (logits, ops.add(ops.sum(ids, axis=(1,), keepdims=True), offsets))
    function = Function(Graph((ids,), outputs), ("logits", "codes"))
    return Model(
        {"main": function},
        [
            Parameter("embed.weight", TABLE),
            Parameter("head.weight", WEIGHT),
            Parameter("head.bias", BIAS),
            Parameter("head.offsets", OFFSETS, role=Role.BUFFER),
            Parameter("tied.weight", TABLE, alias_of="embed.weight"),
        ],
    )


def expected(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    features = TABLE.astype(np.float64)[ids].mean(axis=1)
    return features @ WEIGHT.T.astype(np.float64) + BIAS, ids.sum(axis=1, keepdims=True) + OFFSETS


IDS = np.array([[1, 2, 10], [0, 0, 5]], np.int64)


def check(outputs: Any, ids: np.ndarray = IDS) -> None:
    logits, codes = expected(ids)
    np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(outputs["codes"]), codes)


def test_params_are_nested_dicts_by_name() -> None:
    net = classifier().to("jax")
    assert jax.tree.map(jnp.shape, net.params) == {
        "embed": {"weight": (11, 4)},
        "head": {"weight": (3, 4), "bias": (3,)},
    }
    assert np.asarray(net.buffers["head"]["offsets"]).tolist() == OFFSETS.tolist()
    assert net.trainable == {"embed": {"weight": True}, "head": {"weight": True, "bias": True}}


@pytest.mark.parametrize("x64", [False, True])
def test_runs_eagerly_and_compiled_with_and_without_x64(x64: bool) -> None:
    net = classifier().to("jax")
    with jax.enable_x64(x64):
        check(net.apply(net.params, ids=IDS))
        check(jax.jit(net.apply)(net.params, ids=IDS))
        check(net(ids=IDS))
        check(net(IDS[:1]), IDS[:1])


@pytest.mark.parametrize("x64", [False, True])
def test_gradients(x64: bool) -> None:
    net = classifier().to("jax")

    def loss(params: Any) -> Any:
        return net.apply(params, ids=IDS)["logits"].sum()

    with jax.enable_x64(x64):
        for gradient in (jax.grad(loss), jax.jit(jax.grad(loss))):
            found = gradient(net.params)
            np.testing.assert_allclose(found["head"]["bias"], [2, 2, 2], rtol=1e-6)
            rows = np.zeros((11, 4))
            for token in IDS.reshape(-1):
                rows[token] += WEIGHT.astype(np.float64).sum(axis=0) / 3
            np.testing.assert_allclose(found["embed"]["weight"], rows, rtol=1e-4, atol=1e-6)


def test_vmap() -> None:
    net = classifier().to("jax")
    several = np.stack([IDS, IDS[::-1]])
    mapped = jax.jit(jax.vmap(net.apply, in_axes=(None, 0)))(net.params, several)
    check({name: array[1] for name, array in mapped.items()}, IDS[::-1])


def test_one_export_serves_all_sizes() -> None:
    model = classifier()
    net = model.to("jax")
    with wide_integers():
        exported = export.export(jax.jit(net.apply))(net.params, **symbolic_inputs(model, model.main))
        assert [str(aval.shape) for aval in exported.out_avals] == ["(batch, 2)", "(batch, 3)"]
        for ids in (IDS, RNG.integers(0, 11, (7, 5))):
            check(exported.call(net.params, ids=ids), ids)


def test_a_wide_parameter_that_jax_would_cut_is_refused() -> None:
    net = classifier().to("jax")
    merged = {**net.params, "head": {**net.params["head"], "offsets": OFFSETS}}
    check(net.apply(merged, ids=IDS))
    with jax.enable_x64(True):
        check(jax.jit(net.apply)(merged, ids=IDS))
    with jax.enable_x64(False), pytest.raises(WeightError, match="head.offsets.*enable_x64"):
        jax.jit(net.apply)(merged, ids=IDS)


def test_inputs_are_checked() -> None:
    net = classifier().to("jax")
    with pytest.raises(InputError, match="missing: \\['ids'\\]"):
        net.apply(net.params)
    with pytest.raises(InputError, match="unknown: \\['mask'\\]"):
        net.apply(net.params, ids=IDS, mask=IDS)
    with pytest.raises(InputError, match="'ids' as int64, not as float32"):
        net.apply(net.params, ids=IDS.astype(np.float32))
    with pytest.raises(InputError, match="rank"):
        net.apply(net.params, ids=IDS[0])
    with pytest.raises(WeightError, match=r"head\.bias"):
        net.apply({"embed": net.params["embed"], "head": {"weight": WEIGHT}}, ids=IDS)


def test_run_and_weights() -> None:
    model = classifier()
    check(kx.run(model, {"ids": IDS}, backend="jax"))
    held = kx.converters()["jax"].weights(model)
    assert list(held) == list(model.parameters)
    assert all(np.array_equal(held[name], model.array(name)) for name in held)


def test_parameters_share_the_memory_of_an_aligned_map() -> None:
    buffer = np.zeros(64 * 17, np.uint8)
    start = -buffer.ctypes.data % 64
    aligned = buffer[start : start + 64 * 16].view(np.float32)
    aligned[:] = np.arange(256)
    aligned.flags.writeable = False
    x = placeholder("x", TensorType(DType.FLOAT32, (256,)))
    w = parameter("w", TensorType(DType.FLOAT32, (256,)))
    net = Model({"main": Function(Graph((x,), (ops.add(x, w),)), ("y",))}, [Parameter("w", aligned)]).to("jax")
    assert net.params["w"].unsafe_buffer_pointer() == aligned.ctypes.data


def test_names_that_are_beginnings_of_others() -> None:
    x = placeholder("x", TensorType(DType.FLOAT32, ()))
    values = [parameter(name, TensorType(DType.FLOAT32, ())) for name in ("a", "a.b", "a.b.c")]
    total = x
    for value in values:
        total = ops.add(total, value)
    entries = [Parameter(n, np.float32(i) + np.zeros((), np.float32)) for i, n in enumerate(("a", "a.b", "a.b.c"), 1)]
    net = Model({"main": Function(Graph((x,), (total,)), ("y",))}, entries).to("jax")
    assert set(net.params["a"]) == {"", "b"}
    assert float(net(x=0.5)) == 6.5


def test_outputs_come_in_the_source_tree() -> None:
    x = placeholder("past.0.key", TensorType(DType.FLOAT32, (2,)))
    structure = {"last": {"output": "y"}, "rest": [{"output": "z"}, {"value": None}]}
    outputs = (ops.negative(x), ops.add(x, 1.0))
    net = Model({"main": Function(Graph((x,), outputs), ("y", "z"), {}, structure)}).to("jax")
    got = net.apply({}, past=[{"key": np.ones(2, np.float32)}])
    assert np.asarray(got["last"]).tolist() == [-1, -1]
    assert np.asarray(got["rest"][0]).tolist() == [2, 2]
    assert got["rest"][1] is None


def test_data_dependent_sizes_run_uncompiled_and_say_so_when_traced() -> None:
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("n"),)))
    model = Model({"main": Function(Graph((x,), (ops.nonzero(x),)), ("y",))})
    net = model.to("jax")
    data = np.array([0, 2, 0, 3], np.float32)
    assert np.asarray(net.apply({}, data)).tolist() == [[1], [3]]
    assert kx.run(model, {"x": data}, backend="jax")["y"].tolist() == [[1], [3]]
    with pytest.raises(kx.KxchangeError, match="without jit"):
        jax.jit(net.apply)({}, data)


def test_hostile_names_stay_data() -> None:
    name = "w'); import os; os.abort(); ('"
    x = placeholder("x", TensorType(DType.FLOAT32, (2,)))
    w = parameter(name, TensorType(DType.FLOAT32, (2,)))
    net = Model(
        {"main": Function(Graph((x,), (ops.multiply(x, w),)), ("y",))}, [Parameter(name, np.full(2, 3.0, np.float32))]
    ).to("jax")
    assert np.asarray(jax.jit(net.apply)(net.params, np.ones(2, np.float32))).tolist() == [3, 3]


def test_its_text_is_short_however_much_it_holds() -> None:
    model = classifier()
    held = "3 parameters of 236 bytes, 1 buffers of 16 bytes"
    signature = "main(ids: int64[batch, seq]) -> (logits: float32[batch, 3], codes: int64[batch, 2])"
    net, module = model.to("jax"), model.to("flax")
    assert repr(net) == str(net) == f"<JaxModel: {held}\n  {signature}>"
    assert repr(module) == str(module) == f"<FlaxModel: {held}\n  {signature}>"
    assert repr(net.apply) == f"<{signature.replace('main', 'apply')}>"


def test_aligned_parameters_are_not_copied(tmp_path: Path) -> None:
    params = {"a": {"kernel": RNG.standard_normal((64, 32)).astype(np.float32)}, "b": np.arange(96, dtype=np.float32)}
    kx.save(
        kx.capture(lambda p, x: x @ p["a"]["kernel"] + p["b"].sum(), params, np.ones((2, 64), np.float32)),
        tmp_path / "net.kx",
    )
    model = kx.load(tmp_path / "net.kx")
    net, module = model.to("jax"), model.to("flax")
    for name, leaf in {"a.kernel": net.params["a"]["kernel"], "b": net.params["b"]}.items():
        mapped = model.array(name).ctypes.data
        assert mapped % 64 == 0
        assert leaf.unsafe_buffer_pointer() == module.variable(name)[...].unsafe_buffer_pointer() == mapped
