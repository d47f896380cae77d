"""Flax msgpack files and Orbax folders as arrays by name; damaged and hostile ones are refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

serialization = pytest.importorskip("flax.serialization")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange.errors import FormatError, UnknownFormatError, WeightError  # noqa: E402
from kxchange_jax import weights_in  # noqa: E402

pytestmark = pytest.mark.jax
TREE: dict[str, Any] = {
    "params": {
        "a": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)},
        "b": [np.ones(2, np.int64), np.float32(3)],
    },
    "step": 7,
    "half": np.array([1.5, -2], ml_dtypes.bfloat16),
}
WANTED = {
    "params.a.kernel": TREE["params"]["a"]["kernel"],
    "params.b.0": np.ones(2, np.int64),
    "params.b.1": np.float32(3),
    "step": np.asarray(7),
    "half": TREE["half"],
}


def check(found: dict[str, np.ndarray]) -> None:
    assert found.keys() == WANTED.keys()
    for name, array in WANTED.items():
        assert found[name].dtype == np.asarray(array).dtype
        np.testing.assert_array_equal(found[name], array)


def test_flax_msgpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = serialization.msgpack_serialize(serialization.to_state_dict(TREE))
    path = tmp_path / "net.msgpack"
    path.write_bytes(data)
    assert weights_in.sniff(path, data[:64]) == "flax msgpack checkpoint"
    check(weights_in.read(path))
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 8)
    chunked = serialization.msgpack_serialize(serialization.to_state_dict(TREE))
    assert chunked != data
    path.write_bytes(chunked)
    check(weights_in.read(path))


def test_what_is_damaged_or_hostile_is_refused(tmp_path: Path) -> None:
    import msgpack

    good = serialization.msgpack_serialize({"w": np.ones(4, np.float32)})
    deep: Any = {"w": 1}
    for _ in range(200):
        deep = {"a": deep}
    cases = {
        "cut": good[:-3],
        "pickle": pickle.dumps({"w": 1}, protocol=4),
        "list": msgpack.packb([1, 2]),
        "object": msgpack.packb({"w": msgpack.ExtType(1, msgpack.packb(((2,), b"object", b"x" * 16)))}),
        "short": msgpack.packb({"w": msgpack.ExtType(1, msgpack.packb(((9,), b"float32", b"x" * 16)))}),
        "huge": msgpack.packb({"w": msgpack.ExtType(1, msgpack.packb(((2**40,), b"float32", b"")))}),
        "unknown": msgpack.packb({"w": msgpack.ExtType(9, b"")}),
        "deep": msgpack.packb(deep),
    }
    for name, data in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(FormatError):
            weights_in.read(path)


def test_orbax(tmp_path: Path) -> None:
    ocp = pytest.importorskip("orbax.checkpoint")
    tree = {"params": {"a": jnp.arange(3.0), "b": {"c": jnp.ones((2, 2), jnp.bfloat16)}}, "step": jnp.int32(4)}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "step", tree)
    assert weights_in.sniff(tmp_path / "step", b"") == "orbax checkpoint"
    found = weights_in.read(tmp_path / "step")
    assert {name: (array.dtype.name, array.shape) for name, array in found.items()} == {
        "params.a": ("float32", (3,)),
        "params.b.c": ("bfloat16", (2, 2)),
        "step": ("int32", ()),
    }
    np.testing.assert_array_equal(found["params.a"], np.arange(3))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError):
        weights_in.read(tmp_path / "empty")


X = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)


def test_a_msgpack_file_onto_a_linen_module(tmp_path: Path) -> None:
    import flax.linen as nn

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            return nn.Dense(2)(nn.BatchNorm(use_running_average=True)(nn.Dense(4)(x)))

    first, trained = (jax.tree.map(lambda a, k=k: a + k / 2, Net().init(jax.random.key(k), X)) for k in (0, 1))
    model, wanted = kx.capture(Net(), first, X), np.asarray(Net().apply(trained, X))
    for name, tree in {"all": trained, "state": {**trained, "opt_state": {"count": 3}, "step": 7}}.items():
        (tmp_path / name).write_bytes(serialization.to_bytes(tree))
        loaded, report = kx.load_weights(model, tmp_path / name, strict=name == "all")
        assert sorted(report.unexpected) == ([] if name == "all" else ["opt_state.count", "step"])
        np.testing.assert_allclose(loaded(x=X)["output_0"], wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(WeightError, match=r"opt_state\.count"):
        kx.load_weights(model, tmp_path / "state")
    (tmp_path / "params").write_bytes(serialization.to_bytes(trained["params"]))
    loaded, report = kx.load_weights(model, tmp_path / "params", strict=False)
    assert sorted(report.missing) == ["batch_stats.BatchNorm_0.mean", "batch_stats.BatchNorm_0.var"]
    np.testing.assert_array_equal(loaded.array("params.Dense_1.bias"), trained["params"]["Dense_1"]["bias"])


def test_an_orbax_folder_onto_an_nnx_module(tmp_path: Path) -> None:
    ocp = pytest.importorskip("orbax.checkpoint")
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.layers = nnx.List([nnx.Linear(5, 4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs)])

        def __call__(self, x: Any) -> Any:
            return self.layers[1](nnx.relu(self.layers[0](x)))

    model, trained = kx.capture(Net(nnx.Rngs(0)), X), Net(nnx.Rngs(1))
    trees = {"state": nnx.state(trained), "pure": nnx.to_pure_dict(nnx.state(trained))}
    for name, tree in trees.items():
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / name, tree)
        assert list(kx.read_weights(tmp_path / name)) == [
            f"layers.{i}.{part}" for i in (0, 1) for part in ("bias", "kernel")
        ]
        loaded, _ = kx.load_weights(model, tmp_path / name)
        np.testing.assert_allclose(loaded(x=X)["output_0"], trained(X), rtol=1e-5, atol=1e-6)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownFormatError, match="'empty' holds no weights"):
        kx.read_weights(tmp_path / "empty")
