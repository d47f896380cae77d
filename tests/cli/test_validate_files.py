"""`kx validate` with everything that it can write, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.cli import main
from kxchange.graph import Graph, placeholder
from kxchange.model import Function, Model
from kxchange.types import DType, TensorType


def save(path, epsilon):
    x = placeholder("x", TensorType(DType.FLOAT32, (3, 8)))
    y = ops.layer_norm(ops.tanh(x), axes=1, epsilon=epsilon)
    kx.save(Model({"main": Function(Graph((x,), (y,)), ("y",))}), path)
    return path


@pytest.fixture
def kx_command(capsys):
    def run(*arguments, code=0):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert ended.value.code == code, captured.out + captured.err
        return captured.out + captured.err

    return run


def test_the_place_the_repro_the_page_and_junit(kx_command, tmp_path):
    net, other = save(tmp_path / "net.kx", 1e-5), save(tmp_path / "other.kx", 1e-6)
    repro, page, junit = tmp_path / "repro", tmp_path / "out.html", tmp_path / "out.xml"
    files = ["--repro", repro, "--report", page, "--junit", junit]
    text = kx_command("validate", net, "--against", other, *files, code=1)
    assert "place: layer_norm" in text
    assert "epsilon = 1e-05, there 1e-06" in text
    assert "KX121 norm-epsilon: kx explain KX121" in text
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "layer_norm" in junit.read_text(encoding="utf-8")
    (folder,) = repro.iterdir()
    again = kx_command("validate", folder / "op.kx", "--against", folder / "other.kx", code=1)
    assert "place: layer_norm" in again
    assert np.load(folder / "inputs.npz")["x0"].shape == (3, 8)
    assert "place" not in kx_command("validate", net, "--against", other, "--no-bisect", code=1)


@pytest.mark.torch
def test_gradients_and_round_trips(kx_command, tmp_path):
    pytest.importorskip("torch")
    net = save(tmp_path / "net.kx", 1e-5)
    text = kx_command("validate", net, "--backends", "numpy,torch", "--grad", "--cases", "1")
    assert text.splitlines()[0].split()[-1] == "gradients"
    assert "SAME" in kx_command("validate", net, "--backends", "torch", "--round-trip", "--cases", "1")


def test_options_that_would_be_ignored_are_refused(kx_command, tmp_path):
    net = save(tmp_path / "net.kx", 1e-5)
    text = kx_command("validate", net, "--against", net, "--grad", code=2)
    assert "--grad has no meaning with --against" in text
    assert "--function" in kx_command("validate", net, "--round-trip", "--function", "main", code=2)
