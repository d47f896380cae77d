"""Every opset that can be written: the checker takes it, ONNX Runtime loads it without a word, the values are the same."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.dims import symbol
from kxchange.errors import UnsupportedOpError
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType
from kxchange_onnx.opsets import OLDEST, latest

pytestmark = pytest.mark.onnx
ort = pytest.importorskip("onnxruntime")
F32 = DType.FLOAT32


def network() -> Model:
    """Convolution, normalisations, attention with a mask, a recurrent layer, sizes and selections: what opsets differ in."""
    generator = np.random.default_rng(0)
    entries: list[Parameter] = []

    def weight(name: str, *shape: int):
        entries.append(Parameter(name, generator.standard_normal(shape).astype(np.float32) * 0.3))
        return parameter(name, entries[-1].type)

    x = placeholder("x", TensorType(F32, (symbol("batch"), 4, symbol("time"), 2)))
    mask = placeholder("mask", TensorType(DType.BOOL, (symbol("batch"), 1, symbol("time"), symbol("time"))))
    value = ops.conv(
        x, weight("kernel", 8, 4, 3, 1), weight("bias", 8), strides=(1, 1), padding=((1, 1), (0, 0)), dilations=(1, 1)
    )
    value = ops.gelu(ops.group_norm(value, weight("gamma", 8), weight("beta", 8), groups=2, epsilon=1e-5))
    rows = ops.reshape(ops.permute_dims(value, axes=(0, 2, 1, 3)), shape=(symbol("batch"), symbol("time"), 16))
    rows = ops.layer_norm(ops.linear(rows, weight("w", 16, 16), None), weight("g", 16), weight("b", 16), epsilon=1e-5)
    heads = ops.permute_dims(ops.reshape(rows, shape=(symbol("batch"), symbol("time"), 2, 8)), axes=(0, 2, 1, 3))
    seen = ops.scaled_dot_product_attention(heads, heads, heads, mask)
    seen = ops.scaled_dot_product_attention(seen, heads, heads, is_causal=True)
    best, places = ops.top_k(ops.silu(seen), k=3, axis=-1)
    total = ops.sum(ops.where(ops.greater(best, 0.0), best, ops.mish(best)), axis=(1,))
    graph = Graph(
        (x, mask),
        (ops.rms_norm(total, weight("r", 3), epsilon=1e-5), places, ops.hard_swish(ops.softmax(total, axis=1))),
    )
    return Model({"main": Function(graph, ("total", "places", "shares"))}, entries)


@pytest.fixture(scope="module")
def model() -> Model:
    return network()


def given(batch: int, time: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(batch)
    mask = generator.random((batch, 1, time, time)) > 0.4
    mask[0, 0, 0] = False  # a query that may see nothing
    return {"x": generator.standard_normal((batch, 4, time, 2)).astype(np.float32), "mask": mask}


def run_aloud(proto: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs; ONNX Runtime prints its warnings to the error stream of the process."""
    options = ort.SessionOptions()
    options.log_severity_level = 2
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(
        None, inputs
    )


@pytest.mark.parametrize("opset", range(OLDEST, latest() + 1))
def test_every_opset(model: Model, opset: int, capfd: pytest.CaptureFixture[str]) -> None:
    proto = model.to("onnx", opset=opset)
    assert proto.opset_import[0].version == opset
    onnx.checker.check_model(proto, full_check=True)
    for batch, time in ((2, 5), (1, 7)):
        inputs = given(batch, time)
        wanted = model(**inputs)
        for found, (name, right) in zip(run_aloud(proto, inputs), wanted.items(), strict=True):
            np.testing.assert_allclose(found, right, rtol=2e-4, atol=2e-5, err_msg=name)
    said = capfd.readouterr().err
    assert "[W:" not in said, said
    assert "[E:" not in said, said


def test_warnings_would_be_seen(capfd: pytest.CaptureFixture[str]) -> None:
    """The check itself: an initializer that nothing reads makes ONNX Runtime warn."""
    unread = onnx.numpy_helper.from_array(np.ones(3, np.float32), "unread")
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [3]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y], [unread])
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    run_aloud(proto, {"x": np.zeros(3, np.float32)})
    assert "[W:" in capfd.readouterr().err


def test_an_opset_that_lacks_ops_lists_all_of_them_with_the_one_that_has_each() -> None:
    x = placeholder("x", TensorType(F32, (4,)))
    bits = ops.bitcast(x, dtype=DType.INT32)
    narrow = ops.astype(ops.astype(x, dtype=DType.FLOAT8_E5M2), dtype=F32)
    model = Model({"main": Function(Graph((x,), (bits, narrow)), ("bits", "narrow"))}, [])
    with pytest.raises(UnsupportedOpError) as caught:
        model.to("onnx", opset=13)
    reasons = {blocker.op: blocker.reason for blocker in caught.value.blockers}
    assert reasons == {"bitcast": "it needs opset 26", "astype": "it needs opset 19"}


@pytest.mark.parametrize("opset", [12, 99])
def test_an_opset_that_is_none_is_refused(opset: int) -> None:
    with pytest.raises(kx.KxchangeError, match="13"):
        network().to("onnx", opset=opset)
