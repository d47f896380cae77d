"""One element of one weight in a built object is another: the weights verdict finds it and names the parameter."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from kxchange import ops
from kxchange.converter import converter
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter, Role
from kxchange.types import DType, TensorType
from kxchange.validation.against import validate_against
from kxchange.validation.validate import Row, judge_weights
from kxchange.validation.verdict import Verdict
from kxchange.validation.worker import compare_weights

BACKENDS = [
    pytest.param("numpy"),
    pytest.param("torch", marks=pytest.mark.torch),
    pytest.param("onnx", marks=pytest.mark.onnx),
    pytest.param("jax", marks=pytest.mark.jax),
    pytest.param("tensorflow", marks=pytest.mark.tensorflow),
    pytest.param("keras", marks=pytest.mark.keras),
]


def model():
    """Tables with rows that no id reaches, running statistics, a tied head, int8 rows, a dead counter, a dead weight."""
    rng = np.random.default_rng(5)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    entries = [
        Parameter("table.weight", np.concatenate([np.zeros((1, 6), np.float32), normal(11, 6)])),
        Parameter("head.weight", lambda: entries[0].array, type=_type((12, 6)), alias_of="table.weight"),
        Parameter("norm.mean", normal(6) * 1e-30, role=Role.BUFFER),
        Parameter("norm.variance", np.ones(6, np.float32), role=Role.BUFFER),
        Parameter("norm.count", np.array([7], np.int64), role=Role.BUFFER),
        Parameter("rows.weight", rng.integers(-128, 128, (4, 6)).astype(np.int8)),
        Parameter("rows.bias", np.zeros(4, np.float32)),
        Parameter("square.weight", normal(6, 6)),
        Parameter("dead.weight", normal(3, 5)),
        Parameter("small.weight", normal(5).astype(np.float16)),
    ]
    types = {entry.name: entry.type for entry in entries}
    ids = placeholder("ids", TensorType(DType.INT64, (2, 6)))
    hidden = ops.embedding(parameter("table.weight", types["table.weight"]), ops.clip(ids, 1, 7), padding_index=0)
    mean, variance = (parameter(name, types[name]) for name in ("norm.mean", "norm.variance"))
    hidden = ops.batch_norm(hidden, mean, variance, epsilon=1e-5, channel_axis=-1)
    hidden = ops.linear(hidden, parameter("square.weight", types["square.weight"]))
    rows = ops.astype(parameter("rows.weight", types["rows.weight"]), dtype=DType.FLOAT32)
    outputs = (
        ops.linear(hidden, rows, parameter("rows.bias", types["rows.bias"])),
        ops.linear(hidden, parameter("head.weight", types["head.weight"])),
    )
    return Model({"main": Function(Graph((ids,), outputs), ("scores", "logits"))}, entries)


def _type(shape):
    return TensorType(DType.FLOAT32, shape)


MODEL = model()
KINDS = ("nearest", "other sign", "other value")


def changed(array, place, kind):
    """One element a step further, of the other sign, or another altogether."""
    copy = array.copy()
    flat = copy.reshape(-1)
    old = flat[place]
    if kind == "nearest":
        flat[place] = np.nextafter(old, flat.dtype.type(np.inf)) if flat.dtype.kind == "f" else old ^ 1
    else:
        flat[place] = -old if kind == "other sign" and old != 1 else old + 3
    if copy.tobytes() == array.tobytes():
        flat[place] = old + 1
    return copy


def edits():
    for name, entry in MODEL.parameters.items():
        if entry.alias_of is None:
            places = dict.fromkeys((0, entry.array.size // 2, entry.array.size - 1))
            yield from ((name, place, kind) for place in places for kind in KINDS)


def edited(name, place, kind):
    entry = MODEL.parameters[name]
    return MODEL.replace(parameters={**MODEL.parameters, name: entry.replace(data=changed(entry.array, place, kind))})


def names(name):
    """A table that is tied has two names."""
    return {name, *(n for n, entry in MODEL.parameters.items() if entry.alias_of == name)}


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_single_edit_of_what_a_backend_holds_is_named(backend):
    record = converter(backend)
    if record.missing:
        pytest.skip(f"{backend} is not installed")
    assert compare_weights(record, MODEL) == {}
    cases = list(edits())
    assert len(cases) >= 72
    for edit in cases[:: 1 if backend == "numpy" else 7]:
        broken = edited(*edit)
        holds = SimpleNamespace(weights_verb="any", weights=lambda _, broken=broken: record.weights(broken))
        row = Row(backend)
        judge_weights(row, compare_weights(holds, MODEL))
        assert row.weights is Verdict.WRONG, edit
        found = {note.split("'")[1] for note in row.notes}
        assert found == names(edit[0]), (edit, row.notes)


def test_every_single_edit_of_another_model_is_wrong_and_named():
    for edit in edits():
        row = validate_against(MODEL, edited(*edit), cases=1, bisect=False).rows[0]
        assert (row.verdict, row.weights) == (Verdict.WRONG, Verdict.WRONG), edit
        assert any(repr(edit[0]) in note for note in row.notes), edit
