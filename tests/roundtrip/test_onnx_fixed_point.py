"""ONNX in, out, in and out again: from the second time on the model stays the same, names, roles and bytes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import onnx
import pytest

import kxchange as kx
from kxchange.comparison import compare_models
from kxchange.errors import KxchangeError, UnsupportedOpError
from kxchange.model import Model
from tests.converters.test_onnx_corpus import NAMES
from tests.corpus import corpus
from tests.third_party import onnx_node_tests as suite

pytestmark = pytest.mark.onnx
TORCH = ["bert", "gpt2", "llama", "t5", "vit", "resnet", "convnext", "whisper", "clip", "distilbert"]


def written(model: Model) -> Model:
    return kx.capture(model.to("onnx", check=False))


def differences(model: Model) -> list[str]:
    """What the second trip through ONNX changes; every parameter must survive the first with its bytes."""
    once = written(model)
    twice = written(once)
    found = compare_models(once, twice)
    found += [f"{one} and {other}" for one, other in zip(kept(once), kept(twice), strict=True) if one != other]
    if model.main.updates != twice.main.updates or model.metadata != twice.metadata:
        found.append("updates or metadata")
    return found


def kept(model: Model) -> list[str]:
    """What `compare_models` does not look at: the order of parameters, constraints, and names of functions."""
    return [*model.functions, *model.parameters, *sorted(map(str, model.constraints))]


def captured(case: Any) -> Model:
    """The model of a node test, those inputs bound that are data."""
    given = dict(zip([item.name for item in case.model.graph.input], case.sets[0][0], strict=False))
    bound = {name: value for name, value in given.items() if not isinstance(value, np.ndarray | np.generic)}
    while True:
        try:
            return kx.capture(case.model, constants=bound)
        except UnsupportedOpError as error:
            names = {name for name in given if name not in bound and repr(name) in str(error)}
            if not names or "depends on the input" not in str(error):
                raise
            bound |= {name: given[name] for name in names}


def node_tests(start: int, step: int) -> Iterator[tuple[str, Model]]:
    for case in islice(suite.cases(("node",)), start, None, step):
        try:
            model = captured(case)
            model.to("onnx", check=False)
        except KxchangeError:  # counted in docs/coverage/onnx.md
            continue
        yield case.name, model


def check_nodes(start: int, step: int) -> None:
    models = dict(node_tests(start, step))
    assert len(models) > 0.8 * 1884 // step
    assert {name: found for name, model in models.items() if (found := differences(model))} == {}


def test_a_sample_of_node_tests() -> None:
    check_nodes(5, 31)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(4))
def test_all_node_tests(start: int) -> None:
    check_nodes(start, 4)


@pytest.mark.parametrize("name", NAMES)
def test_real_files(name: str) -> None:
    model = kx.load(corpus(name).path)
    assert differences(model) == []
    again = written(model)
    for entry in model.parameters.values():
        other = again.parameters[entry.name]
        assert (entry.type, entry.role, entry.trainable) == (other.type, other.role, other.trainable)
        assert entry.array.tobytes() == other.array.tobytes()


@pytest.mark.hf
@pytest.mark.torch
@pytest.mark.parametrize("name", TORCH)
def test_models_of_torch(name: str) -> None:
    """The parameters of a torch model come back as they were: names, order, ties, roles, bytes."""
    pytest.importorskip("transformers")
    from zoo_hf import ZOO

    entry = ZOO[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kx.capture(entry.module, dynamic=entry.dynamic, **entry.inputs, **entry.options)
    assert differences(model) == []
    again = written(model)
    assert list(again.parameters) == list(model.parameters)
    for one, other in zip(model.parameters.values(), again.parameters.values(), strict=True):
        assert (one.type, one.role, one.trainable, one.alias_of) == (
            other.type,
            other.role,
            other.trainable,
            other.alias_of,
        )
        assert one.array.tobytes() == other.array.tobytes()
    assert again.main.input_types == model.main.input_types
    assert again.main.output_types == model.main.output_types


def test_a_difference_is_noticed() -> None:
    """The comparison itself: another attribute, another byte, another role."""
    model = next(model for name, model in node_tests(0, 400) if model.main.graph.nodes())
    assert compare_models(model, model) == []
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [3, 2])
    weight = onnx.numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = onnx.helper.make_graph(nodes, "g", [x], [onnx.ValueInfoProto(name="y")], [weight])
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    first = kx.capture(proto)
    weight = onnx.numpy_helper.from_array(np.array([[1, 1], [1, 2]], np.float32), "w")
    proto.graph.initializer[0].CopyFrom(weight)
    assert compare_models(first, kx.capture(proto)) != []
    assert compare_models(first, kx.capture(proto, trainable=[])) != []
