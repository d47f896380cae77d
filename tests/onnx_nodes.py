"""One-node ONNX models, run by kxchange on NumPy and by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

import kxchange as kx


def node_model(
    op: str,
    inputs: Mapping[str, Any],
    attributes: Mapping[str, Any] | None = None,
    *,
    constants: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = ("y",),
    domain: str = "",
    opset: int = 18,
    dims: Mapping[str, Sequence[Any]] | None = None,
    operands: Sequence[str] | None = None,
    version: int = 1,
) -> onnx.ModelProto:
    """A model of one node; `operands` orders inputs and constants, "" leaves one out."""
    held = {name: np.asarray(value) for name, value in (constants or {}).items()}
    given = {name: np.asarray(value) for name, value in inputs.items()}
    order = list(operands) if operands is not None else [*given, *held]
    node = helper.make_node(op, order, list(outputs), domain=domain, **(attributes or {}))
    infos = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), list((dims or {}).get(name, value.shape))
        )
        for name, value in given.items()
    ]
    results = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs if name]
    for result in results:
        result.type.Clear()
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in held.items()]
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, version)] if domain else [])
    graph = helper.make_graph([node], "one", infos, results, tensors)
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def run_ours(model: onnx.ModelProto, inputs: Mapping[str, Any], **options: Any) -> list[Any]:
    """The outputs by kxchange on NumPy, in order."""
    lifted = kx.capture(model, **options)
    return list(kx.run(lifted, {name: np.asarray(value) for name, value in inputs.items()}).values())


def run_theirs(model: onnx.ModelProto, inputs: Mapping[str, Any]) -> list[Any]:
    """The outputs by ONNX Runtime without its optimizer."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {name: np.asarray(value) for name, value in inputs.items()})


def agree(model: onnx.ModelProto, inputs: Mapping[str, Any], rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Demand that both give the same."""
    ours, theirs = run_ours(model, inputs), run_theirs(model, inputs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a.astype(np.float64), b.astype(np.float64), rtol=rtol, atol=atol)
