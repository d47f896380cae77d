"""Flax msgpack files and Orbax folders as arrays by name; damaged and hostile ones are refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

serialization = pytest.importorskip("flax.serialization")

import jax.numpy as jnp  # noqa: E402

from kxchange.errors import FormatError  # noqa: E402
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
