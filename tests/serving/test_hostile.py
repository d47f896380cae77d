"""Malformed and hostile requests: each is refused with a 4xx and a reason or closed, and the server is none the worse."""

from __future__ import annotations

import gzip
import json
import zlib

import numpy as np
import pytest
from serving_requests import RAW, URL, binary, body, steadily


def nested(depth: int) -> bytes:
    return b'{"inputs":' + b"[" * depth + b"]" * depth + b"}"


BOMB = gzip.compress(bytes(200 * 2**20), 9)
JSON_REQUESTS = {
    "nothing": (b"", 400),
    "not JSON": (b"\xff\xfe{", 400),
    "cut off": (body()[:-40], 400),
    "a list": (b"[]", 400),
    "a number": (b"1", 400),
    "inputs are a text": (b'{"inputs": "x"}', 400),
    "an input is a number": (b'{"inputs": [1]}', 400),
    "no inputs": (b'{"inputs": []}', 400),
    "an input without a name": (body(name=...), 400),
    "an unknown input": (body(name="../../etc/passwd"), 400),
    "an input twice": (json.dumps({"inputs": json.loads(body())["inputs"] * 2}).encode(), 400),
    "a long name": (body(name="x" * 10_000), 400),
    "no datatype": (body(datatype=...), 400),
    "another datatype": (body(datatype="INT32"), 400),
    "an unknown datatype": (body(datatype="<script>"), 400),
    "BYTES": (body(datatype="BYTES", data=["a"] * 64), 400),
    "no shape": (body(shape=...), 400),
    "a negative size": (body(shape=[-1, 64]), 400),
    "a size that is true": (body(shape=[True, 64]), 400),
    "a size that is a float": (body(shape=[1.0, 64]), 400),
    "a huge size": (body(shape=[2**62, 64]), 400),
    "a size beyond 64 bits": (body().replace(b"[1, 64]", b"[18446744073709551617, 64]"), 400),
    "sizes that overflow to the right product": (body(shape=[2**58 + 1, 64]), 400),
    "another rank": (body(shape=[64]), 400),
    "a thousand axes": (body(shape=[1] * 1000), 400),
    "too little data": (body(data=[0.0] * 63), 400),
    "no data": (body(data=...), 400),
    "texts": (body(data=["a" * 1000] + ["b"] * 63), 400),
    "nulls": (body(data=[None] * 64), 400),
    "numbers out of range": (body(data=[1e39] * 64), 400),
    "ragged data": (body(shape=[2, 64], data=[[0.0] * 64, [0.0] * 63]), 400),
    "data nested too deep": (body(data=[[[0.0]] * 64]), 400),
    "100,000 outputs": (body()[:-1] + b', "outputs": [' + b",".join([b'{"name":"y"}'] * 100_000) + b"]}", 400),
    "an output twice": (body()[:-1] + b', "outputs": [{"name": "y"}, {"name": "y"}]}', 400),
    "an unknown output": (body()[:-1] + b', "outputs": [{"name": "__class__"}]}', 400),
    "deep JSON": (nested(100_000), 400),
    "a sequence": (body()[:-1] + b', "parameters": {"sequence_id": 7}}', 400),
    "shared memory": (body(data=..., parameters={"shared_memory_region": "a"}), 400),
    "parameters that are a list": (body(parameters=[1]), 400),
    "a binary size without bytes": (body(data=..., parameters={"binary_data_size": 256}), 400),
    "a timeout that is a text": (body()[:-1] + b', "parameters": {"timeout": "soon"}}', 400),
    "an endless id": (body()[:-1] + b', "id": "' + b"a" * 10_000 + b'"}', 400),
    "17 MiB of JSON": (b'{"inputs": [' + b" " * (17 * 2**20) + b"]}", 413),
    "more than the limit": (bytes(65 * 2**20), 413),
}
BINARY_REQUESTS = {
    "a header length beyond the body": binary(length="100000"),
    "a negative header length": binary(length="-1"),
    "a header length that is a word": binary(length="many"),
    "a header length of twenty digits": binary(length="9" * 20),
    "a header length of 0": binary(length="0"),
    "a header length in the middle": binary(length="20"),
    "too few bytes": binary(RAW[:-4]),
    "too many bytes": (binary()[0] + b"more", binary()[1]),
    "a shape that overflows to the bytes": binary(shape=[2**60, 64]),
    "gzip that is none": (b"hello", {"Content-Encoding": "gzip"}),
    "gzip cut off": (gzip.compress(body())[:-9], {"Content-Encoding": "gzip"}),
    "two gzip streams": (gzip.compress(body()) * 2, {"Content-Encoding": "gzip"}),
    "deflate of the wrong kind": (zlib.compress(body())[2:], {"Content-Encoding": "deflate"}),
    "an encoding of its own": (body(), {"Content-Encoding": "br"}),
    "a decompression bomb": (BOMB, {"Content-Encoding": "gzip"}),
}
PATHS = {
    "/v2/models/..%2f..%2fetc/infer": 404,
    "/v2/models/%2e%2e/infer": 404,
    "/v2/models//infer": 404,
    "/v2/models/perceptron/versions/-1/infer": 400,
    "/v2/models/perceptron/versions/1%00/infer": 400,
    "/v2/models/perceptron/versions/" + "9" * 5000 + "/infer": 400,
    "/v2/models/perceptron/versions//infer": 404,
    "/v2/models/a/b/c/d/infer": 404,
    "/v2/repository/models/..%2f..%2fetc/load": 404,
    "/ui/../../etc/passwd": 405,
    "/" + "a" * 20_000: 404,
}


@pytest.fixture(scope="module")
def steady(server):
    """The server; after all requests it answers as before, and has not grown."""
    yield from steadily(server)


def refused(status: int, reply: bytes, wanted: int) -> None:
    assert status == wanted, reply
    message = json.loads(reply)["error"]
    assert 5 < len(message) < 600
    assert "Traceback" not in message
    assert ".py" not in message


@pytest.mark.parametrize("name", JSON_REQUESTS)
def test_json(steady, name):
    content, wanted = JSON_REQUESTS[name]
    status, _, reply = steady.call(URL, content)
    refused(status, reply, wanted)


@pytest.mark.parametrize("name", BINARY_REQUESTS)
def test_binary_and_encodings(steady, name):
    content, headers = BINARY_REQUESTS[name]
    status, _, reply = steady.call(URL, content, headers)
    refused(status, reply, {"an encoding of its own": 415, "a decompression bomb": 413}.get(name, 400))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
def test_paths(steady, path):
    status, _, reply = steady.call(path, b"{}")
    refused(status, reply, PATHS[path])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_methods(steady, method):
    status, _, reply = steady.call(URL, method=method)
    refused(status, reply, 405)


def test_a_bool_is_0_or_1(server):
    content = {"inputs": []}
    raw = b""
    for name, size in server_inputs(server):
        content["inputs"].append(
            {"name": name, "datatype": size[1], "shape": [1, 2], "parameters": {"binary_data_size": 2 * size[0]}}
        )
        raw += b"\x02" * (2 * size[0])
    head = json.dumps(content).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    status, _, reply = server.call("/v2/models/every_datatype/infer", head + raw, headers)
    refused(status, reply, 400)
    assert b"neither 0 nor 1" in reply


def server_inputs(server):
    sizes = {"BOOL": 1, "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8}
    _, _, reply = server.call("/v2/models/every_datatype")
    for entry in json.loads(reply)["inputs"]:
        name = entry["datatype"]
        yield entry["name"], (sizes.get(name) or int(name.lstrip("UINT")) // 8, name)


@pytest.mark.parametrize(
    ("datatype", "value"),
    [("UINT8", 256), ("INT8", -129), ("INT64", 2**63), ("UINT64", -1), ("INT32", 1.5), ("BOOL", 1)],
)
def test_numbers_are_never_cut(server, datatype, value):
    name = {"BOOL": "in_bool"}.get(datatype, f"in_{datatype.lower()}")
    content = {"inputs": [{"name": name, "datatype": datatype, "shape": [1, 2], "data": [value, value]}]}
    status, _, reply = server.call("/v2/models/every_datatype/infer", json.dumps(content).encode())
    refused(status, reply, 400)
    assert name.encode() in reply


def test_large_integers_arrive_exactly():
    from kxchange.serving.signature import TensorSpec
    from kxchange.serving.tensors import from_json
    from kxchange.types import DType, TensorType

    values = [1, 2**63 + 1, 2**64 - 1]
    spec = TensorSpec.of("x", TensorType(DType.UINT64, (3,)), "input")
    assert from_json(spec, (3,), values).tolist() == values


def test_nan_has_no_form_in_json_and_is_not_made_null(server):
    content, headers = binary(np.full((1, 64), np.nan, np.float32).tobytes())
    status, _, reply = server.call(URL, content, headers)
    refused(status, reply, 400)
    assert b"binary_data" in reply
    head = content[: -len(RAW)][:-1] + b', "parameters": {"binary_data_output": true}}'
    status, answer_headers, reply = server.call(
        URL, head + content[-len(RAW) :], {"Inference-Header-Content-Length": str(len(head))}
    )
    assert status == 200, reply
    assert np.isnan(np.frombuffer(reply[int(answer_headers["inference-header-content-length"]) :], np.float32)).all()


def test_grpc_refuses_too(server):
    grpc = pytest.importorskip("grpc")
    from kxchange.serving.wire_schema import messages

    kinds = messages()
    request = kinds["ModelInferRequest"](model_name="perceptron")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 64])
    request.raw_input_contents.append(RAW)
    with grpc.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=kinds["ModelInferResponse"].FromString,
        )
        assert len(call(request).raw_output_contents[0]) == 40

        def fails(code: str, change) -> None:
            broken = kinds["ModelInferRequest"]()
            broken.CopyFrom(request)
            change(broken)
            with pytest.raises(grpc.RpcError) as failure:
                call(broken, timeout=240)
            assert failure.value.code() is getattr(grpc.StatusCode, code), failure.value.details()

        fails("INVALID_ARGUMENT", lambda m: m.raw_input_contents.append(b""))
        fails("INVALID_ARGUMENT", lambda m: m.ClearField("raw_input_contents"))
        fails("INVALID_ARGUMENT", lambda m: m.inputs[0].shape.append(2**62))
        fails("INVALID_ARGUMENT", lambda m: m.inputs[0].contents.fp32_contents.append(1))
        fails("INVALID_ARGUMENT", lambda m: m.inputs.add(name="x"))
        fails("INVALID_ARGUMENT", lambda m: [m.outputs.add(name="y") for _ in range(100_000)])
        fails("INVALID_ARGUMENT", lambda m: setattr(m.parameters["sequence_id"], "int64_param", 3))
        fails("RESOURCE_EXHAUSTED", lambda m: m.raw_input_contents.append(bytes(65 * 2**20)))
        fails("NOT_FOUND", lambda m: setattr(m, "model_name", "../x"))
        with pytest.raises(grpc.RpcError):
            call(b"\xff" * 100, timeout=240)
        assert len(call(request).raw_output_contents[0]) == 40
