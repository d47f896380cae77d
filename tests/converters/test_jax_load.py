"""Artifacts of `jax.export`, alone and in saved folders, read back: same results, symbolic sizes, composites whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax import export, lax  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange.errors import FormatError, InputError, KxchangeError, UnsupportedOpError  # noqa: E402
from kxchange.model import Role  # noqa: E402

pytestmark = pytest.mark.jax
RNG = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def network(params: Any, ids: Any) -> Any:
    x = params["embed"][ids] + params["position"][: ids.shape[1]]
    mean, variance = x.mean(-1, keepdims=True), jnp.var(x, axis=-1, keepdims=True)
    x = (x - mean) / jnp.sqrt(variance + 1e-5)
    y = jax.nn.softmax(jnp.einsum("btd,bsd->bts", x @ params["w"], x) / ids.shape[1]) @ x
    y = lax.fori_loop(0, 3, lambda i, c: c * 0.5 + x, y)
    last, _ = lax.scan(lambda c, row: (c + row, None), y[:, 0], y.swapaxes(0, 1))
    layout = ("NHWC", "HWIO", "NHWC")
    z = lax.conv_general_dilated(y[:, :, None, :], params["k"], (1, 1), "SAME", dimension_numbers=layout)
    pooled = lax.reduce_window(z, -jnp.inf, lax.max, (1, 2, 1, 1), (1, 2, 1, 1), "VALID")
    best = jnp.argmax(y, -1), jnp.argmin(y, 1), jnp.sort(y, -1), jnp.argsort(y, -1), lax.erf(y)
    masked = jnp.where(jnp.tri(ids.shape[1], dtype=bool), 0.0, -1e9)
    counts = jnp.zeros((ids.shape[0], 11)).at[jnp.arange(ids.shape[0])[:, None], ids].add(1.0)
    return {"y": y.reshape(-1, 4), "last": last, "pooled": pooled, "best": best, "mask": masked, "counts": counts}


PARAMS = {"embed": floats(11, 4), "position": floats(16, 4), "w": floats(4, 4), "k": floats(3, 1, 4, 4)}


def artifact(path: Path, platforms: list[str]) -> export.Exported:
    batch, seq = export.symbolic_shape("batch, seq", constraints=["seq <= 16", "seq >= 2"])
    specs = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), PARAMS)
    ids = jax.ShapeDtypeStruct((batch, seq), np.int32)
    exported = export.export(jax.jit(network), platforms=platforms)(specs, ids)
    path.write_bytes(exported.serialize())
    return exported


@pytest.mark.parametrize("platforms", [["cpu"], ["cpu", "cuda", "tpu"]])
def test_an_artifact_is_read_with_its_sizes_open(tmp_path: Path, platforms: list[str]) -> None:
    exported = artifact(tmp_path / "net.bin", platforms)
    model = kx.load(tmp_path / "net.bin")
    assert str(model.main.input_types["input_1"]) == "int32[batch, seq]"
    assert {"layer_norm", "softmax", "conv", "max_pool", "argmax", "while_loop"} <= {
        node.op for node in model.main.graph.nodes()
    }
    named = {f"input_0.{name}": array for name, array in PARAMS.items()}
    for n, t in ((1, 3), (3, 16)):
        ids = RNG.integers(0, 11, (n, t)).astype(np.int32)
        wanted = jax.tree.leaves(exported.call(PARAMS, ids))
        for backend in ("numpy", "jax"):
            found = kx.run(model, {**named, "input_1": ids}, backend=backend)
            for (name, got), leaf in zip(found.items(), wanted, strict=True):
                np.testing.assert_allclose(got, leaf, rtol=1e-4, atol=1e-5, err_msg=name)
    with pytest.raises(InputError, match="seq"):
        model(**named, input_1=np.zeros((1, 17), np.int32))


def test_a_folder_goes_there_and_back(tmp_path: Path) -> None:
    params = {"a": {"w": floats(4, 4)}, "b": floats(4)}
    model = kx.capture(lambda p, x: {"y": jax.nn.gelu(x @ p["a"]["w"] + p["b"]), "n": x[:, ::2]}, params, floats(2, 4))
    kx.save(model, tmp_path / "net", to="jax", platforms=("cpu",))
    again = kx.load(tmp_path / "net")
    assert (again.input_names, again.output_names) == (model.input_names, model.output_names)
    assert [(n, e.role, e.type) for n, e in again.parameters.items()] == [
        (n, e.role, e.type) for n, e in model.parameters.items()
    ]
    assert again.parameters["a.w"].role is Role.PARAMETER
    x = floats(5, 4)
    for name, wanted in model(x=x).items():
        np.testing.assert_allclose(again(x=x)[name], wanted, rtol=1e-5, atol=1e-6)


def test_custom_calls_are_refused_by_name(tmp_path: Path) -> None:
    call = jax.ffi.ffi_call("run_anything", jax.ShapeDtypeStruct((3,), np.float32))
    checks = [export.DisabledSafetyCheck.custom_call("run_anything")]
    exported = export.export(jax.jit(lambda x: call(x) + jnp.linalg.cholesky(jnp.eye(3))[0]), disabled_checks=checks)
    (tmp_path / "net.bin").write_bytes(exported(jax.ShapeDtypeStruct((3,), np.float32)).serialize())
    with pytest.raises(UnsupportedOpError, match="run_anything"):
        kx.load(tmp_path / "net.bin")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    artifact(tmp_path / "net.bin", ["cpu"])
    data = (tmp_path / "net.bin").read_bytes()
    for position in range(0, len(data), 997):
        (tmp_path / "bad.bin").write_bytes(data[:position])
        with pytest.raises(KxchangeError):
            kx.load(tmp_path / "bad.bin")
    model = kx.capture(lambda p, x: x * p["w"], {"w": floats(3)}, floats(2, 3))
    kx.save(model, tmp_path / "net", to="jax", platforms=("cpu",))
    manifest = json.loads((tmp_path / "net" / "model.json").read_text())
    for change in (
        {"version": 9},
        {"functions": {}},
        {"functions": {"main": {"file": "../../secret"}}},
        {"parameters": {}},
    ):
        (tmp_path / "net" / "model.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(KxchangeError):
            kx.load(tmp_path / "net")
    (tmp_path / "net" / "model.json").write_text("[")
    with pytest.raises(FormatError):
        kx.load(tmp_path / "net")
