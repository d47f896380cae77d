"""`.pt2` files: they open with plain torch, keep their symbolic sizes, and a failure leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from kxchange import ops  # noqa: E402
from kxchange.errors import BuildError, WriteError  # noqa: E402
from kxchange.graph import Graph, Value, parameter, placeholder  # noqa: E402
from kxchange.model import Function, Model, Parameter  # noqa: E402
from kxchange.types import DType, TensorType  # noqa: E402
from kxchange_numpy.prepare import prepare  # noqa: E402
from kxchange_torch.save import save  # noqa: E402

pytestmark = pytest.mark.torch


def attention_like() -> Model:
    ids = placeholder("input.ids", TensorType.parse("float32[batch, seq, 4]"))
    past = placeholder("past.0", TensorType.parse("float32[batch, past, 4]"))
    mask = placeholder("mask", TensorType.parse("bool[batch, past+seq]"))
    weight = parameter("proj.weight", TensorType.parse("float32[4, 4]"))
    joined = ops.concat(past, ops.linear(ids, weight), axis=1)
    kept = ops.where(ops.expand_dims(mask, axis=(2,)), joined, 0.0)
    outputs = (ops.sum(kept, axis=(1,)), joined)
    function = Function(Graph((ids, past, mask), outputs), ("sum", "past.0"))
    return Model({"main": function}, [Parameter("proj.weight", np.eye(4, dtype=np.float32) * 2)])


def test_a_file_opens_without_kxchange(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    assert save(attention_like(), path) == [path]
    code = (
        "import sys, torch\n"
        "program = torch.export.load(sys.argv[1])\n"
        "assert list(program.state_dict) == ['proj.weight']\n"
        "run = program.module()\n"
        "for batch, seq, past in ((3, 5, 2), (2, 2, 7)):\n"
        "    out = run({'ids': torch.ones(batch, seq, 4)}, (torch.ones(batch, past, 4),),"
        " torch.ones(batch, past + seq, dtype=torch.bool))\n"
        "    assert out['sum'].tolist() == [[float(2 * seq + past)] * 4] * batch, out\n"
        "    assert out['past.0'].shape == (batch, past + seq, 4)\n"
        "assert not any(name.startswith('kxchange') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code, str(path)], check=True)


def recurrent() -> Model:
    x = placeholder("x", TensorType.parse("float32[time, batch, 2]"))
    weights = [parameter(name, TensorType.parse("float32[12, 3]")) for name in ("hidden",)]
    outputs = ops.lstm(x, parameter("input", TensorType.parse("float32[12, 2]")), *weights)
    entries = [Parameter("input", np.ones((12, 2), np.float32)), Parameter("hidden", np.ones((12, 3), np.float32))]
    return Model({"main": Function(Graph((x,), outputs), ("y", "h", "c"))}, entries)


def test_a_size_that_torch_would_fix_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kxchange_torch.save._dynamic_shapes", lambda _: iter([None]))  # every size is a number
    with pytest.raises(BuildError, match="time"):
        save(recurrent(), tmp_path / "net.pt2")
    assert list(tmp_path.iterdir()) == []


def test_recurrent_layers_keep_the_length_of_the_sequence(tmp_path: Path) -> None:
    model = recurrent()
    save(model, tmp_path / "net.pt2")
    program = torch.export.load(tmp_path / "net.pt2").module()
    for sizes in ((3, 4, 2), (7, 2, 2)):
        x = np.random.default_rng(0).normal(size=sizes).astype(np.float32)
        found = program(torch.from_numpy(x))
        for name, right in model(x=x).items():
            np.testing.assert_allclose(found[name].detach().numpy(), right, rtol=1e-5, atol=1e-6)


def scalar(name: str) -> Value:
    return placeholder(name, TensorType.parse("float32[]"))


def loops() -> Model:
    """A scan of a symbolic length, a while loop, and a branch that reads a parameter of the model's."""
    xs = placeholder("xs", TensorType.parse("float32[steps]"))
    start, limit, factor = scalar("start"), scalar("limit"), parameter("factor", TensorType.parse("float32[]"))
    carry, x = scalar("c"), scalar("x")
    total = ops.add(carry, x)
    last, sums = ops.scan(
        start, xs, body=Graph((carry, x), (total, total)), num_consts=0, num_carry=1, reverse=True, length=xs.shape[0]
    )
    bound, value = scalar("bound"), scalar("value")
    (doubled,) = ops.while_loop(
        limit,
        last,
        cond=Graph((bound, value), (ops.less(value, bound),)),
        body=Graph((value,), (ops.multiply(value, 2.0),)),
        cond_consts=1,
        body_consts=0,
    ).node.outputs
    a, f = scalar("a"), scalar("f")
    branches = (Graph((a, f), (ops.negative(a),)), Graph((a, f), (ops.multiply(a, f),)))
    chosen = ops.cond(ops.greater(doubled, 100.0), doubled, factor, branches=branches)
    function = Function(Graph((xs, start, limit), (chosen, sums)), ("chosen", "sums"))
    return Model({"main": function}, [Parameter("factor", np.array(10.0, np.float32))])


def test_loops_and_branches_stay_loops_and_branches(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    save(loops(), path)
    run, reference = torch.export.load(path).module(), prepare(loops())
    for steps, limit in ((2, 50.0), (5, 300.0), (1, 0.0)):
        inputs = [np.arange(steps, dtype=np.float32), np.array(1.0, np.float32), np.array(limit, np.float32)]
        expected = reference(dict(zip(("xs", "start", "limit"), inputs, strict=True)))
        found = run(*map(torch.from_numpy, map(np.asarray, inputs)))
        for name, array in expected.items():
            np.testing.assert_allclose(found[name].detach().numpy(), array)


def counting() -> Model:
    """Two states that start from one value, a counter, and a parameter, as in an LSTM and a `fori_loop` of JAX."""
    xs, factor = (
        placeholder("xs", TensorType.parse("float32[steps]")),
        parameter("factor", TensorType.parse("float32[]")),
    )
    zero = ops.full(shape=(), value=0.0, dtype=DType.FLOAT32)
    count = ops.full(shape=(), value=0, dtype=DType.INT32)
    f, h, c, x = map(scalar, "fhcx")
    i = placeholder("i", TensorType.parse("int32[]"))
    h_next, c_next = ops.add(ops.multiply(h, f), x), ops.add(ops.multiply(c, 0.5), h)
    results = ops.scan(
        *(factor, zero, zero, count, xs),
        body=Graph((f, h, c, i, x), (h_next, c_next, ops.add(i, 1), c)),
        num_consts=1,
        num_carry=3,
        reverse=False,
        length=xs.shape[0],
    )
    function = Function(Graph((xs,), tuple(results)), ("h", "c", "i", "cs"))
    return Model({"main": function}, [Parameter("factor", np.array(3.0, np.float32))])


def test_a_loop_of_two_equal_starts_and_a_counter_is_exported_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    save(counting(), path)
    found = torch.export.load(path).module()(torch.arange(4, dtype=torch.float32))
    h, c, cs = 0.0, 0.0, []
    for x in range(4):
        cs.append(c)
        h, c = 3 * h + x, 0.5 * c + h
    expected = {"h": h, "c": c, "i": 4, "cs": cs}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name].detach().numpy(), value)


def test_an_unwritable_place_is_a_write_error(tmp_path: Path) -> None:
    with pytest.raises(WriteError):
        save(attention_like(), tmp_path / "missing" / "net.pt2")
