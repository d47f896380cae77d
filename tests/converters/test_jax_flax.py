"""`model.to("flax")`: an `nnx.Module` with the model's tree of parameters that trains and writes its state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
nnx = pytest.importorskip("flax.nnx")
nn = pytest.importorskip("flax.linen")
optax = pytest.importorskip("optax")

import jax.numpy as jnp  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange.model import Model  # noqa: E402
from kxchange_jax.flax_module import Buffer, Frozen  # noqa: E402

pytestmark = pytest.mark.jax
RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 4)).astype(np.float32)


def names(state: Any) -> set[str]:
    return {".".join(map(str, path)) for path, _ in nnx.to_flat_state(state)}


def network() -> Model:
    params = {"a": {"w": X[:4].copy()}, "b": {"w": X[2:6].copy()}, "__call__": {"w": X[0].copy()}}
    return kx.capture(lambda p, x: jnp.tanh(x @ p["a"]["w"]) @ p["b"]["w"] + p["__call__"]["w"], params, X)


def test_its_tree_is_the_models_and_it_computes_the_same() -> None:
    model = network()
    net = model.to("flax")
    assert names(nnx.state(net, nnx.Param)) == {"a.w", "b.w", "call__.w"}
    assert net.variable("__call__.w")[...].shape == (4,)
    np.testing.assert_allclose(net(X), model(x=X)["output_0"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        nnx.jit(lambda m, x: m(x=x))(net, X[:2]), model(x=X[:2])["output_0"], rtol=1e-5, atol=1e-6
    )


def test_it_trains_as_the_source_does() -> None:
    model = network()
    net = model.to("flax")
    optimizer = nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(module: Any, optimizer: Any) -> Any:
        loss, gradients = nnx.value_and_grad(lambda m: (m(X) ** 2).mean())(module)
        optimizer.update(module, gradients)
        return loss

    params = {name: jnp.asarray(entry.array) for name, entry in model.parameters.items()}

    def plain(p: Any) -> Any:
        return ((jnp.tanh(X @ p["a.w"]) @ p["b.w"] + p["__call__.w"]) ** 2).mean()

    for _ in range(3):
        wanted, gradients = jax.value_and_grad(plain)(params)
        params = jax.tree.map(lambda w, g: w - 0.1 * g, params, gradients)
        np.testing.assert_allclose(step(net, optimizer), wanted, rtol=1e-5)
    for name, array in params.items():
        np.testing.assert_allclose(net.variable(name)[...], array, rtol=1e-4, atol=1e-6)


def test_what_is_not_trained_is_no_param() -> None:
    model = network()
    entries = [entry.replace(trainable=False) if name == "a.w" else entry for name, entry in model.parameters.items()]
    net = Model(dict(model.functions), entries).to("flax")
    assert names(nnx.state(net, nnx.Param)) == {"b.w", "call__.w"}
    assert names(nnx.state(net, Frozen)) == {"a.w"}


def test_statistics_are_written_in_training() -> None:
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x: Any, train: bool) -> Any:
            return nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)

    variables = {
        "params": {"BatchNorm_0": {"scale": np.ones(4, np.float32), "bias": np.zeros(4, np.float32)}},
        "batch_stats": {"BatchNorm_0": {"mean": np.zeros(4, np.float32), "var": np.ones(4, np.float32)}},
    }
    net = kx.capture(Net(), variables, X, train=True, mutable=["batch_stats"]).to("flax")
    assert names(nnx.state(net, Buffer)) == {"batch_stats.BatchNorm_0.mean", "batch_stats.BatchNorm_0.var"}
    wanted, updated = Net().apply(variables, X, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(net(X), wanted, rtol=1e-4, atol=1e-5)
    mean = net.variable("batch_stats.BatchNorm_0.mean")[...]
    np.testing.assert_allclose(mean, updated["batch_stats"]["BatchNorm_0"]["mean"], rtol=1e-4, atol=1e-6)


def test_captured_again_it_is_the_same_model() -> None:
    model = network()
    again = kx.capture(model.to("flax"), x=X)
    assert {n.rstrip("_") for n in again.parameters} >= {"a.w", "b.w"}
    np.testing.assert_allclose(again(x=X)["output_0"], model(x=X)["output_0"], rtol=1e-6)
