"""Hugging Face models, captured once and compared in float64 with torch at sizes the capture never saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [pytest.mark.torch, pytest.mark.hf]

from kxchange import reference  # noqa: E402
from kxchange.model import Model, Role  # noqa: E402
from kxchange.passes.retype import retype  # noqa: E402
from kxchange.types import DType  # noqa: E402
from kxchange_torch.capture import capture  # noqa: E402
from kxchange_torch.float64 import run_float64  # noqa: E402
from tests.zoo_hf import ZOO, Entry, leaves  # noqa: E402

FIRST_TEN = ("bert", "gpt2", "llama", "t5", "vit", "resnet", "convnext", "whisper", "mamba", "clip")
SIZES = (
    {"batch": 2, "seq": 5, "target": 4, "images": 3},
    {"batch": 1, "seq": 1, "target": 1, "images": 1},
    {"batch": 4, "seq": 7, "target": 3, "images": 2},
)
LIMIT = 1e-12


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2)))


def compare(entry: Entry, model: Model, sizes: dict[str, int]) -> list[float]:
    wide = retype(model, DType.FLOAT64)
    inputs = entry.make(sizes)
    arrays = [inputs[name].numpy().astype(t.dtype.numpy) for name, t in wide.main.input_types.items()]
    got = reference.evaluate(wide.main.graph, arrays, {name: wide.array(name) for name in wide.parameters})
    want = leaves(run_float64(entry.module, (), {**inputs, **entry.options}))
    assert len(got) == len(want)
    return [relative_error(g, w.numpy()) for g, w in zip(got, want, strict=True)]


def captured(name: str) -> tuple[Entry, Model]:
    entry = ZOO[name]()
    return entry, capture(entry.module, dynamic=entry.dynamic, **entry.inputs, **entry.options)


@pytest.mark.parametrize("name", [n if n in FIRST_TEN else pytest.param(n, marks=pytest.mark.slow) for n in ZOO])
def test_float64_agrees_at_unseen_sizes(name: str) -> None:
    entry, model = captured(name)
    wanted = {dim for dims in entry.dynamic.values() for dim in dims if dim is not None}
    assert set(model.dims) == wanted
    for sizes in SIZES:
        errors = compare(entry, model, sizes)
        assert max(errors) <= LIMIT, (sizes, dict(zip(model.output_names, errors, strict=True)))
    state = entry.module.state_dict()
    kept = [p.name for p in model.parameters.values() if p.role in (Role.PARAMETER, Role.BUFFER)]
    assert kept == list(state)
    assert all(model.array(key).tobytes() == tensor.numpy().tobytes() for key, tensor in state.items())


def test_a_tiny_change_of_one_weight_is_seen() -> None:
    """The comparison above can fail: one matrix scaled by 1 + 1e-9 is over the limit."""
    entry, model = captured("bert")
    name = "encoder.layer.1.attention.self.query.weight"
    changed = model.parameters[name].replace(data=model.array(name).astype(np.float64) * (1 + 1e-9))
    wide = retype(model, DType.FLOAT64)
    changed.type = wide.parameters[name].type
    broken = wide.replace(parameters={**wide.parameters, name: changed})
    assert max(compare(entry, broken, SIZES[0])) > LIMIT


def canonical_nodes(model: Model, path: str) -> list[Any]:
    return [
        node.op
        for node in model.main.graph.nodes()
        if node.op not in ("parameter", "full") and node.source and node.source.path.startswith(path)
    ]


def test_a_bert_layer_has_at_most_20_nodes() -> None:
    _, model = captured("bert")
    nodes = canonical_nodes(model, "encoder.layer.1.")
    assert len(nodes) <= 20
    assert nodes.count("scaled_dot_product_attention") == 1
    assert nodes.count("layer_norm") == 2
    assert nodes.count("gelu") == 1
