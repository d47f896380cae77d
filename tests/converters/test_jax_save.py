"""Folders of `jax.export` artifacts: plain JAX opens them, at sizes never seen; nothing else is replaced."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import kxchange as kx  # noqa: E402
from kxchange.errors import WriteError  # noqa: E402
from kxchange.model import Model  # noqa: E402

pytestmark = pytest.mark.jax

PLAIN = """
import sys
sys.modules["kxchange"] = sys.modules["kxchange_jax"] = None
import jax, numpy as np
from safetensors.numpy import load_file
params = load_file(sys.argv[1] + "/params.safetensors")
exported = jax.export.deserialize(open(sys.argv[1] + "/main.stablehlo", "rb").read())
assert set(exported.platforms) == {"cpu", "cuda", "tpu"}, exported.platforms
inputs = dict(np.load(sys.argv[2]))
np.savez(sys.argv[3], **exported.call(params, inputs))
"""
RNG = np.random.default_rng(0)


def network() -> Model:
    params = {
        "up": {"w": RNG.standard_normal((4, 8)).astype(np.float32)},
        "down": RNG.standard_normal((8, 3)).astype(np.float32),
    }

    def function(p, x):
        return {"y": jax.nn.softmax(jax.nn.gelu(x @ p["up"]["w"]) @ p["down"]), "size": x.reshape(-1)}

    return kx.capture(function, params, np.ones((2, 5, 4), np.float32), dynamic={"x": ("batch", "seq", None)})


def test_plain_jax_opens_it(tmp_path: Path) -> None:
    model = network()
    kx.save(model, tmp_path / "net", to="jax")
    inputs = {"x": RNG.standard_normal((3, 7, 4)).astype(np.float32)}
    np.savez(tmp_path / "in.npz", **inputs)
    command = [sys.executable, "-c", PLAIN, str(tmp_path / "net"), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "out.npz")
    for name, wanted in model(**inputs).items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-6)


def test_nothing_else_is_replaced_and_nothing_is_left_behind(tmp_path: Path) -> None:
    model = network()
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    with pytest.raises(WriteError, match="it stays"):
        kx.save(model, folder, to="jax")
    assert [file.name for file in folder.iterdir()] == ["thesis.txt"]
    (folder / "thesis.txt").unlink()
    for _ in range(2):
        kx.save(model, folder, to="jax", platforms=("cpu",))
    assert {file.name for file in folder.iterdir()} == {
        "main.stablehlo",
        "params.safetensors",
        "model.json",
        "README.md",
    }
    assert [file.name for file in tmp_path.iterdir()] == ["net"]
