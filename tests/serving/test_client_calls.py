"""Every call that the four clients of tritonclient have for these endpoints, against a server that lets them load."""

from __future__ import annotations

import asyncio
import inspect
import threading
import warnings

import numpy as np
import onnxruntime as ort
import pytest

import kxchange as kx

http = pytest.importorskip("tritonclient.http")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    grpc = pytest.importorskip("tritonclient.grpc")
import tritonclient.grpc.aio as grpc_aio  # noqa: E402
import tritonclient.http.aio as http_aio  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402

CLIENTS = {"http": http, "http.aio": http_aio, "grpc": grpc, "grpc.aio": grpc_aio}
UNSERVED = [
    "get_trace_settings",
    "get_log_settings",
    "get_system_shared_memory_status",
    "get_cuda_shared_memory_status",
]


@pytest.fixture(scope="module")
def controlled(start, models):
    return start(models["perceptron"], models["centred"], "--model-control")


@pytest.fixture(scope="module")
def right(models, tmp_path_factory):
    """The bytes of ONNX Runtime's own answer."""
    path = tmp_path_factory.mktemp("direct") / "net.onnx"
    kx.save(kx.load(models["perceptron"]), path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": given()})[0]


def given() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(3, 64)).astype(np.float32)


async def done(result):
    return await result if inspect.isawaitable(result) else result


def with_client(name: str, server, use):
    """Run `use(client, module of its inputs)` on one client, whether it is asynchronous or not."""
    module = CLIENTS[name]

    async def run():
        client = module.InferenceServerClient(server.http if name.startswith("http") else server.grpc)
        try:
            return await use(client, http if name.startswith("http") else grpc)
        finally:
            await done(client.close())

    return asyncio.run(run())


def plain(answer) -> dict | list:
    """A JSON document or a message, as JSON."""
    from google.protobuf.json_format import MessageToDict

    if isinstance(answer, dict | list):
        return answer
    return MessageToDict(answer, preserving_proto_field_name=True)


@pytest.mark.parametrize("name", CLIENTS)
def test_health_metadata_configuration_statistics(name, controlled):
    async def use(client, _):
        assert await done(client.is_server_live())
        assert await done(client.is_server_ready())
        assert await done(client.is_model_ready("perceptron"))
        assert await done(client.is_model_ready("perceptron", "1"))
        assert not await done(client.is_model_ready("nothing"))
        server = plain(await done(client.get_server_metadata()))
        assert (server["name"], server["version"]) == ("kxchange", kx.__version__)
        assert "binary_tensor_data" in server["extensions"]
        for version in ("", "1"):
            model = plain(await done(client.get_model_metadata("perceptron", version)))
            assert (model["name"], model["versions"], model["platform"]) == ("perceptron", ["1"], "onnxruntime_onnx")
            assert [(e["name"], e["datatype"], list(map(int, e["shape"]))) for e in model["inputs"]] == [
                ("x", "FP32", [-1, 64])
            ]
            config = plain(await done(client.get_model_config("perceptron", version)))
            assert config.get("config", config)["backend"] == "onnxruntime"
        index = plain(await done(client.get_model_repository_index()))
        index = index["models"] if isinstance(index, dict) else index
        assert {(entry["name"], entry["version"], entry["state"]) for entry in index} == {
            ("perceptron", "1", "READY"), ("centred", "1", "READY")
        }  # fmt: skip
        for arguments, count in (((), 2), (("perceptron",), 1), (("perceptron", "1"), 1)):
            found = plain(await done(client.get_inference_statistics(*arguments)))["model_stats"]
            assert len(found) == count

    with_client(name, controlled, use)


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("binary", [True, False])
def test_infer(name, binary, controlled, right):
    async def use(client, kinds):
        how = {"binary_data": binary} if kinds is http else {}
        entry = kinds.InferInput("x", [3, 64], "FP32").set_data_from_numpy(given(), **how)
        output = kinds.InferRequestedOutput("y", **how)
        reply = await done(client.infer("perceptron", [entry], "1", [output], "an id", headers={"x-own": "1"}))
        np.testing.assert_array_equal(reply.as_numpy("y"), right)
        message = reply.get_response()
        assert (message["id"] if isinstance(message, dict) else message.id) == "an id"
        assert reply.get_output("y") is not None
        assert reply.as_numpy("z") is None
        with pytest.raises(InferenceServerException, match="deadline"):
            await done(client.infer("perceptron", [entry], timeout=1))
        with pytest.raises(InferenceServerException, match="no model 'nothing'"):
            await done(client.infer("nothing", [entry]))
        with pytest.raises(InferenceServerException, match="sequences are not served"):
            await done(client.infer("perceptron", [entry], sequence_id=3, sequence_start=True))

    with_client(name, controlled, use)


def test_infer_later(controlled, right):
    """What the clients that are not asynchronous have in its place."""
    entry = http.InferInput("x", [3, 64], "FP32").set_data_from_numpy(given())
    with http.InferenceServerClient(controlled.http, concurrency=4) as client:
        calls = [client.async_infer("perceptron", [entry]) for _ in range(8)]
        for call in calls:
            np.testing.assert_array_equal(call.get_result().as_numpy("y"), right)
    entry = grpc.InferInput("x", [3, 64], "FP32").set_data_from_numpy(given())
    came = threading.Event()
    answers = []

    def answered(result, error):
        answers.append((result, error))
        came.set()

    with grpc.InferenceServerClient(controlled.grpc) as client:
        client.async_infer("perceptron", [entry], callback=answered)
        assert came.wait(240)
    ((result, error),) = answers
    assert error is None
    np.testing.assert_array_equal(result.as_numpy("y"), right)


@pytest.mark.parametrize("name", CLIENTS)
def test_unload_and_load(name, controlled):
    async def use(client, _):
        await done(client.unload_model("centred"))
        assert not await done(client.is_model_ready("centred"))
        assert await done(client.is_server_ready())
        await done(client.load_model("centred"))
        assert await done(client.is_model_ready("centred"))
        with pytest.raises(InferenceServerException, match="no model 'nothing'"):
            await done(client.load_model("nothing"))
        # What would change the model is refused, not passed over.
        with pytest.raises(InferenceServerException, match="'config' is not served"):
            await done(client.load_model("centred", config='{"max_batch_size": 8}'))
        files = {"file:1/model.onnx": b"other"}
        with pytest.raises(InferenceServerException, match="is not served"):
            await done(client.load_model("centred", config="{}", files=files))
        assert await done(client.is_model_ready("centred"))

    with_client(name, controlled, use)


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("call", UNSERVED)
def test_what_is_not_served_says_so(name, call, controlled):
    async def use(client, _):
        with pytest.raises(InferenceServerException) as failure:
            await done(getattr(client, call)())
        assert failure.value.status() in ("404", "StatusCode.UNIMPLEMENTED")

    with_client(name, controlled, use)


def test_streaming_is_off(controlled):
    answers = []
    came = threading.Event()

    def answered(result, error):
        answers.append(error)
        came.set()

    with grpc.InferenceServerClient(controlled.grpc) as client:
        # Refused when it is opened: whether a request could be put on it first is a matter of time.
        client.start_stream(answered)
        assert came.wait(240)
    assert answers[0].status() == "StatusCode.UNIMPLEMENTED"
