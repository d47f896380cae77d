"""The protocol's own clients against a server as users run it."""

from __future__ import annotations

import asyncio
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
from tritonclient.utils import InferenceServerException, np_to_triton_dtype  # noqa: E402


@pytest.fixture(scope="module")
def web(server):
    with http.InferenceServerClient(server.http) as client:
        yield client


@pytest.fixture(scope="module")
def remote(server):
    with grpc.InferenceServerClient(server.grpc) as client:
        yield client


@pytest.fixture(scope="module")
def session(models, tmp_path_factory):
    """ONNX Runtime itself on the same model."""
    path = tmp_path_factory.mktemp("direct") / "net.onnx"
    kx.save(kx.load(models["perceptron"]), path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def given(rows: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 64)).astype(np.float32)


def asked(module, array: np.ndarray, name: str = "x", **how):
    entry = module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    entry.set_data_from_numpy(array, **how)
    return entry


def test_health_and_metadata(web, remote):
    for client in (web, remote):
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("perceptron")
        assert client.is_model_ready("perceptron", "1")
        assert not client.is_model_ready("nothing")
    assert web.get_server_metadata()["extensions"] == list(remote.get_server_metadata().extensions)
    assert web.get_server_metadata()["version"] == kx.__version__
    metadata = web.get_model_metadata("perceptron")
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}]
    assert metadata["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 10]}]
    assert metadata["versions"] == ["1"]
    message = remote.get_model_metadata("perceptron")
    assert [(entry.name, entry.datatype, list(entry.shape)) for entry in message.inputs] == [("x", "FP32", [-1, 64])]
    assert message.platform == metadata["platform"] == "onnxruntime_onnx"


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("encoding", [None, "gzip", "deflate"])
def test_http_is_bytes_equal_to_a_direct_run(web, session, binary_in, binary_out, encoding):
    array = given()
    reply = web.infer(
        "perceptron",
        [asked(http, array, binary_data=binary_in)],
        outputs=[http.InferRequestedOutput("y", binary_data=binary_out)],
        request_id="call 7",
        request_compression_algorithm=encoding,
        response_compression_algorithm=encoding,
    )
    assert reply.as_numpy("y").tobytes() == session.run(None, {"x": array})[0].tobytes()
    assert reply.get_response()["id"] == "call 7"
    assert reply.get_response()["model_version"] == "1"


def test_http_without_named_outputs_gives_all(web, session):
    array = given(1)
    reply = web.infer("perceptron", [asked(http, array)], model_version="1", timeout=1_000_000)
    assert reply.as_numpy("y").tobytes() == session.run(None, {"x": array})[0].tobytes()


def test_grpc_is_bytes_equal_to_a_direct_run(remote, session):
    array = given()
    reply = remote.infer(
        "perceptron", [asked(grpc, array)], outputs=[grpc.InferRequestedOutput("y")], request_id="7", client_timeout=30
    )
    assert reply.as_numpy("y").tobytes() == session.run(None, {"x": array})[0].tobytes()
    assert reply.get_response().id == "7"


def test_asynchronous_clients(server, session):
    arrays = [given(1 + number % 4, number) for number in range(20)]
    expected = [session.run(None, {"x": array})[0] for array in arrays]

    async def run(module, address):
        client = module.InferenceServerClient(address)
        try:
            assert await client.is_server_ready()
            replies = await asyncio.gather(
                *(client.infer("perceptron", [asked(http if module is http_aio else grpc, a)]) for a in arrays)
            )
            return [reply.as_numpy("y") for reply in replies]
        finally:
            await client.close()

    for module, address in ((http_aio, server.http), (grpc_aio, server.grpc)):
        for got, right in zip(asyncio.run(run(module, address)), expected, strict=True):
            np.testing.assert_array_equal(got, right)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_every_datatype_comes_back(protocol, web, remote, models):
    model = kx.load(models["every_datatype"])
    rng = np.random.default_rng(3)
    sent = {}
    for name, type in model.main.input_types.items():
        raw = rng.integers(0, 256, (5, 2, type.dtype.numpy.itemsize), np.uint8)
        if type.dtype.is_bool:
            raw &= 1
        if type.dtype.is_floating:
            raw[..., -1] &= 0x3F  # no NaN
        sent[name] = raw.view(type.dtype.numpy).reshape(5, 2)
    module, client = (http, web) if protocol == "http" else (grpc, remote)
    inputs = []
    for name, array in sent.items():
        datatype = "BF16" if "bfloat16" in name else np_to_triton_dtype(array.dtype)
        entry = module.InferInput(name, [5, 2], datatype)
        if datatype == "BF16":
            # The client makes BF16 of FP32 itself; these values survive that exactly.
            entry.set_data_from_numpy(array.astype(np.float32))
        else:
            entry.set_data_from_numpy(array)
        inputs.append(entry)
    reply = client.infer("every_datatype", inputs)
    for name, array in sent.items():
        got = reply.as_numpy(name.replace("in_", "out_"))
        np.testing.assert_array_equal(got, array[::-1].astype(got.dtype), err_msg=name)


def test_errors_decode(web, remote):
    for client, module in ((web, http), (remote, grpc)):
        with pytest.raises(InferenceServerException, match="has no input 'z'|input 'z' is not one of"):
            client.infer("perceptron", [asked(module, given(), "z")])
        with pytest.raises(InferenceServerException, match="takes shape"):
            client.infer("perceptron", [asked(module, np.zeros((1, 63), np.float32))])
        with pytest.raises(InferenceServerException, match="datatype FP32"):
            client.infer("perceptron", [asked(module, np.zeros((1, 64)))])
        with pytest.raises(InferenceServerException, match="no model 'nothing'"):
            client.infer("nothing", [asked(module, given())])
        with pytest.raises(InferenceServerException, match="no version"):
            client.infer("perceptron", [asked(module, given())], model_version="2")
        with pytest.raises(InferenceServerException, match="deadline"):
            client.infer("perceptron", [asked(module, given())], timeout=1)


def test_repository_and_statistics(web, remote):
    assert {entry["name"] for entry in web.get_model_repository_index()} == {"perceptron", "every_datatype", "centred"}
    assert {(m.name, m.state) for m in remote.get_model_repository_index().models} == {
        ("perceptron", "READY"), ("every_datatype", "READY"), ("centred", "READY")
    }  # fmt: skip
    before = web.get_inference_statistics("centred")["model_stats"][0]
    client_input = asked(http, np.ones((3, 4), np.float32))
    for _ in range(4):
        web.infer("centred", [client_input])
    after = web.get_inference_statistics("centred")["model_stats"][0]
    assert after["inference_count"] - before["inference_count"] == 12
    assert after["execution_count"] - before["execution_count"] == 4
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]
    assert [b["batch_size"] for b in after["batch_stats"]] == [3]
    assert remote.get_inference_statistics("centred").model_stats[0].inference_count == after["inference_count"]
    assert len(web.get_inference_statistics()["model_stats"]) == 3


@pytest.mark.parametrize("action", ["load_model", "unload_model"])
def test_model_control_is_off_unless_asked_for(web, remote, action):
    for client in (web, remote):
        with pytest.raises(InferenceServerException, match="--model-control"):
            getattr(client, action)("perceptron")
        assert client.is_model_ready("perceptron")


def test_the_configuration_parses_with_the_clients_protobuf(remote, web):
    config = remote.get_model_config("perceptron").config
    assert config.backend == "onnxruntime"
    assert [(entry.name, entry.data_type, list(entry.dims)) for entry in config.input] == [("x", 11, [-1, 64])]
    assert web.get_model_config("perceptron")["input"][0]["dims"] == ["-1", "64"]
