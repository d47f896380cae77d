"""Under load, every answer has the bytes of a direct run; joined requests keep their results within the rule."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import onnxruntime as ort
import pytest
from serving_models import centred, perceptron

import kxchange as kx

CONNECTIONS = 16


@pytest.fixture(scope="module")
def session(models, tmp_path_factory):
    path = tmp_path_factory.mktemp("direct") / "net.onnx"
    kx.save(kx.load(models["perceptron"]), path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def packed(array: np.ndarray) -> bytes:
    raw = array.tobytes()
    entry = {"name": "x", "datatype": "FP32", "shape": array.shape, "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [entry], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
    start = f"POST /v2/models/perceptron/infer HTTP/1.1\r\nhost: a\r\ncontent-length: {len(head) + len(raw)}\r\n"
    return f"{start}inference-header-content-length: {len(head)}\r\n\r\n".encode() + head + raw


async def one_connection(server, arrays, results) -> None:
    host, port = server.http.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for number, array in arrays:
        writer.write(packed(array))
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = await reader.readexactly(int(fields["content-length"]))
        assert " 200 " in head, body
        results[number] = body[int(fields["inference-header-content-length"]) :]
    writer.close()


def answers(server, arrays) -> list[bytes]:
    results: dict[int, bytes] = {}

    async def run() -> None:
        shares = [list(enumerate(arrays))[start::CONNECTIONS] for start in range(CONNECTIONS)]
        await asyncio.gather(*(one_connection(server, share, results) for share in shares))

    asyncio.run(run())
    return [results[number] for number in range(len(arrays))]


def drawn(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(int(rows), 64)).astype(np.float32) for rows in rng.integers(1, 5, count)]


def test_ten_thousand_requests_have_the_bytes_of_a_direct_run(server, session):
    arrays = drawn(10_000)
    for array, got in zip(arrays, answers(server, arrays), strict=True):
        assert got == session.run(None, {"x": array})[0].tobytes()


@pytest.mark.parametrize("delay", [0, 2000])
def test_joined_requests_are_right(start, models, delay):
    server = start(models["perceptron"], "--max-batch", "8", "--max-delay-us", delay)
    (loaded,) = [event for event in server.events() if event["event"] == "loaded"]
    assert loaded["batching"] == "on"
    arrays = drawn(400)
    wide = {name: entry.array.astype(np.float64) for name, entry in kx.load(models["perceptron"]).parameters.items()}
    for array, raw in zip(arrays, answers(server, arrays), strict=True):
        got = np.frombuffer(raw, np.float32).reshape(len(array), 10)
        hidden = np.maximum(array.astype(np.float64) @ wide["w1"].T + wide["b1"], 0)
        np.testing.assert_allclose(got, hidden @ wide["w2"].T + wide["b2"], atol=2e-6)
    (statistics,) = json.loads(server.call("/v2/models/perceptron/stats")[2])["model_stats"]
    assert statistics["inference_stats"]["success"]["count"] == 400
    assert statistics["inference_count"] == sum(map(len, arrays))
    assert statistics["execution_count"] <= 400  # how many are joined is the machine's business; see test_overload.py
    assert max(entry["batch_size"] for entry in statistics["batch_stats"]) <= 8
    assert server.stop() == 0


def test_a_model_whose_samples_depend_on_each_other_is_not_batched(start, models):
    server = start(models["centred"], "--max-batch", "8")
    (loaded,) = [event for event in server.events() if event["event"] == "loaded"]
    assert "depends on the others" in loaded["batching"]
    assert server.stop() == 0


def test_which_models_may_be_batched():
    from kxchange import ops
    from kxchange.dims import symbol
    from kxchange.graph import Graph, placeholder
    from kxchange.model import Function, Model
    from kxchange.serving.batching import batch_symbol
    from kxchange.types import DType, TensorType

    def made(shape, change) -> Model:
        x = placeholder("x", TensorType(DType.FLOAT32, shape))
        return Model({"main": Function(Graph((x,), (change(x),)), ("y",))}, [])

    b, s = symbol("b"), symbol("s")
    assert batch_symbol(perceptron()) == "batch"
    assert batch_symbol(centred()) == "batch"  # only the proof tells
    assert batch_symbol(made((b, s), ops.abs)) == "b"
    assert batch_symbol(made((3, b), ops.abs)) is None
    assert batch_symbol(made((b, b), ops.abs)) is None
    assert batch_symbol(made((2 * b, 4), ops.abs)) is None
    assert batch_symbol(made((b, s), lambda x: ops.reshape(x, shape=(b * s,)))) is None
    assert batch_symbol(made((b, s), lambda x: ops.permute_dims(x, axes=(1, 0)))) is None
    assert batch_symbol(made((b, 4), lambda x: ops.sum(x, axis=(0,), keepdims=False))) is None
