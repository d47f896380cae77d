"""Clean models pass, and every injected defect of a converter is found, by the verdict that can see it."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

import kxchange as kx
from kxchange.graph import Graph, Node, rewrite
from kxchange.model import Model
from kxchange.spec import apply_op, keep
from kxchange.validation.against import validate_against
from kxchange.validation.verdict import Verdict

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from zoo_hf import ZOO  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.hf]


class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(8, 16, 2, batch_first=True)
        self.head = torch.nn.Linear(16, 16)

    def forward(self, x):
        return self.head(self.lstm(x)[0])


@cache
def clean(name: str) -> Model:
    warnings.simplefilter("ignore")
    if name == "lstm":
        torch.manual_seed(0)
        return kx.capture(Recurrent().eval(), torch.randn(3, 12, 8), dynamic={"x": ("batch", "time", None)})
    entry = ZOO[name]()
    return kx.capture(entry.module, dynamic=entry.dynamic, **entry.inputs, **entry.options)


def edit_ops(model: Model, op: str, **changes) -> Model:
    def change(node, operands):
        if node.op != op:
            return keep(node, operands)
        attrs = {**node.attrs, **{k: v(node) if callable(v) else v for k, v in changes.items()}}
        return apply_op(Node(op, node.inputs, attrs, node.types, node.name, node.source), operands)

    def graph_edit(graph: Graph) -> Graph:
        return rewrite(graph, change)

    edited = model.map_graphs(graph_edit)
    assert any(a.attrs != b.attrs for a, b in zip(model.main.graph.nodes(), edited.main.graph.nodes(), strict=False))
    return edited


def edit_weights(model: Model, change, only=lambda name: True) -> Model:
    parameters = {
        name: entry.replace(data=change(entry.array.copy()))
        if entry.alias_of is None and entry.array.dtype == np.float32 and only(name)
        else entry
        for name, entry in model.parameters.items()
    }
    return model.replace(parameters=parameters)


def one_weight(factor):
    def change(array):
        flat = array.reshape(-1)
        flat[np.argmax(np.abs(flat))] *= factor
        return array

    return change


def swap_gates(array):
    size = len(array) // 4
    return np.concatenate([array[size : 2 * size], array[:size], array[2 * size :]])


def first_matrix(model: Model) -> str:
    return next(
        n for n, e in model.parameters.items() if len(e.type.shape) >= 2 and e.alias_of is None and "embed" not in n
    )


@pytest.mark.parametrize("name", ["bert", "gpt2", "resnet", "lstm"])
def test_clean_models_raise_no_alarm(name):
    report = kx.validate(clean(name), backends=["numpy", "torch"], processes=False, cases=8)
    assert report.ok, report


@pytest.mark.parametrize(
    ("name", "defect"),
    [
        ("bert", lambda m: edit_ops(m, "layer_norm", epsilon=1e-6)),
        ("bert", lambda m: edit_ops(m, "layer_norm", epsilon=1e-5)),
        ("bert", lambda m: edit_ops(m, "gelu", approximate="tanh")),
        ("bert", lambda m: edit_weights(m, lambda a: a * np.float32(1 + 1e-5))),
        ("lstm", lambda m: edit_weights(m, lambda a: a * np.float32(1 + 1e-5))),
        ("lstm", lambda m: edit_weights(m, lambda a: a.astype(np.float16).astype(np.float32))),
        ("lstm", lambda m: edit_weights(m, swap_gates, lambda n: "bias_ih_l0" in n)),
        ("resnet", lambda m: edit_ops(m, "conv", padding=lambda n: shift_padding(n))),
        ("gpt2", lambda m: edit_weights(m, one_weight(1.01), lambda n: n == first_matrix(m))),
        ("lstm", lambda m: edit_weights(m, one_weight(1.01), lambda n: n == first_matrix(m))),
    ],
    ids=[
        "bert-epsilon-1e-6",
        "bert-epsilon-1e-5",
        "bert-gelu-tanh",
        "bert-weights-1e-5",
        "lstm-weights-1e-5",
        "lstm-weights-float16",
        "lstm-gates-swapped",
        "resnet-padding-side",
        "gpt2-one-weight-1.01",
        "lstm-one-weight-1.01",
    ],
)
def test_defects_show_in_function_and_accuracy(name, defect):
    row = validate_against(clean(name), defect(clean(name)), cases=8).rows[0]
    assert row.function is Verdict.WRONG, row
    assert row.accuracy in (Verdict.WRONG, Verdict.SUSPECT), row
    assert row.verdict is Verdict.WRONG


def shift_padding(node):
    pairs = node.attrs["padding"]
    if any(stride == 2 for stride in node.attrs["strides"]) and pairs[0] == (1, 1):
        return tuple((0, 2) for _ in pairs)
    return pairs


@pytest.mark.parametrize("name", ["bert", "gpt2", "lstm"])
def test_one_weight_in_ten_thousand_is_found_in_weights_and_float64(name):
    model = clean(name)
    row = validate_against(model, edit_weights(model, one_weight(1.0001), lambda n: n == first_matrix(model))).rows[0]
    assert row.weights is Verdict.WRONG
    assert row.function is Verdict.WRONG


def test_a_dead_weight_is_found_by_its_bytes_only():
    model = clean("resnet")
    name = next(n for n in model.parameters if n.endswith("num_batches_tracked"))
    entry = model.parameters[name]
    row = validate_against(
        model, model.replace(parameters={**model.parameters, name: entry.replace(data=entry.array + 1)})
    ).rows[0]
    assert (row.weights, row.function, row.accuracy) == (Verdict.WRONG, Verdict.SAME, Verdict.SAME)


def test_nan_outputs_never_pass():
    model = clean("gpt2")
    broken = edit_weights(
        model, lambda a: np.where(np.abs(a) == np.abs(a).max(), np.nan, a), lambda n: "ln_f.weight" in n
    )
    row = validate_against(model, broken).rows[0]
    assert row.function is Verdict.WRONG
    assert row.accuracy is Verdict.WRONG
    assert "NaN" in " ".join(row.notes)
