"""Ready means proven; the end loses no request; what is not there is not served."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import threading
import time

import numpy as np
import pytest

import kxchange as kx


def request(rows: int = 1) -> bytes:
    array = np.full((rows, 64), 0.5, np.float32)
    head = {"name": "x", "datatype": "FP32", "shape": [rows, 64], "data": array.reshape(-1).tolist()}
    return json.dumps({"inputs": [head]}).encode()


def flip(path, position: int, bit: int = 0x40) -> None:
    raw = bytearray(path.read_bytes())
    raw[position] ^= bit
    path.write_bytes(raw)


def never_ready(server) -> str:
    events = server.events()
    assert not [event for event in events if event["event"] == "ready"]
    return " ".join(event.get("error", "") for event in events)


def test_a_flipped_weight_byte_is_never_ready(start, models, tmp_path):
    path = tmp_path / "perceptron.kx"
    shutil.copy(models["perceptron"], path)
    flip(path, -20, 1)  # the lowest bit of a number: no output test sees it
    server = start(path)
    assert server.process.wait(240) == 2
    assert "damaged" in never_ready(server)


def test_a_flipped_byte_of_the_cached_file_is_never_ready(start, models, cache, tmp_path):
    model = kx.load(models["perceptron"])
    path = tmp_path / "other.kx"
    kx.save(model.replace(metadata={"only": "here"}), path)
    before = set(cache.rglob("model.onnx"))
    first = start(path)
    assert first.stop() == 0
    (cached,) = set(cache.rglob("model.onnx")) - before
    flip(cached, cached.stat().st_size // 2)
    server = start(path)
    assert server.process.wait(240) == 1
    assert "recorded" in never_ready(server)


def test_recorded_outputs_that_the_weights_no_longer_give_are_never_ready(start, models, tmp_path):
    model = kx.load(models["perceptron"])
    inputs = {"x": np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)}
    outputs = model(**inputs)
    good, bad = tmp_path / "good.kx", tmp_path / "bad.kx"
    kx.save(model.replace(samples=[{"function": "main", "inputs": inputs, "outputs": outputs}]), good)
    changed = {"y": outputs["y"] * np.float32(1.001)}
    kx.save(model.replace(samples=[{"function": "main", "inputs": inputs, "outputs": changed}]), bad)
    server = start(good, bad)
    assert server.process.wait(240) == 1
    assert "y (recorded)" in never_ready(server)
    loaded = {event["model"]: event["self_test"] for event in server.events() if event["event"] == "loaded"}
    assert loaded == {"good": "SAME"}


def test_a_runtime_that_computes_something_else_is_never_ready():
    """The session is judged, not the file: here one that is wrong by a part in a hundred thousand."""
    from serving_models import perceptron

    from kxchange.serving.selftest import self_test

    model = perceptron()
    reference = lambda arrays: [model(x=arrays[0])["y"]]  # noqa: E731
    assert self_test(model, reference).verdict == "SAME"
    assert self_test(model, lambda arrays: [reference(arrays)[0] * np.float32(1 + 1e-5)]).verdict in (
        "SUSPECT",
        "WRONG",
    )
    assert self_test(model, lambda arrays: [reference(arrays)[0] * np.float32(1.01)]).verdict == "WRONG"


def test_missing_and_nameless_models_are_exit_code_2(start, models, tmp_path):
    assert start(tmp_path / "none.kx").process.wait(240) == 2
    assert start(models["perceptron"], f"perceptron={models['centred']}").process.wait(240) == 2
    assert start(f"../up={models['centred']}").process.wait(240) == 2


def test_an_onnx_file_is_served_as_it_is(start, models, tmp_path):
    path = tmp_path / "direct.onnx"
    kx.save(kx.load(models["perceptron"]), path)
    server = start(path)
    status, _, reply = server.call("/v2/models/direct/infer", request())
    assert status == 200, reply
    kept = json.loads(reply)["outputs"][0]["data"]
    right = kx.load(models["perceptron"])(x=np.full((1, 64), 0.5, np.float32))["y"]
    np.testing.assert_allclose(kept, right[0], rtol=1e-5)
    assert server.stop() == 0


def waiting(server) -> socket.socket:
    """A connection whose request the server has begun: it has asked for the body, which is held back."""
    host, port = server.http.split(":")
    stream = socket.create_connection((host, int(port)), timeout=240)
    stream.sendall(
        b"POST /v2/models/perceptron/infer HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
        % len(request())
    )
    begun = b""
    while not begun.endswith(b"\r\n\r\n"):
        begun += stream.recv(100)
    assert begun.startswith(b"HTTP/1.1 100 ")
    return stream


def until(true) -> None:
    """Wait for what comes on any machine, sooner or later; the suite's own guard ends what hangs."""
    while not true():
        time.sleep(0.01)


def said(server, event: str) -> bool:
    return any(found["event"] == event for found in server.events())


def refuses_connections(server) -> bool:
    host, port = server.http.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=240).close()
    except OSError:
        return True
    return False


def test_sigterm_loses_no_request_that_was_begun(start, models):
    """Eight requests are in the server, and stay there until it takes no others; then their bodies come."""
    server = start(models["perceptron"], "--grace", "0", "--drain", "3600", "--receive-timeout", "3600")
    streams = [waiting(server) for _ in range(8)]
    server.process.send_signal(signal.SIGTERM)
    until(lambda: refuses_connections(server))
    assert server.process.poll() is None
    right = kx.load(models["perceptron"])(x=np.full((1, 64), 0.5, np.float32))["y"]
    for stream in streams:
        with stream, stream.makefile("rb") as reader:
            stream.sendall(request())
            head, _, reply = reader.read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in head
        np.testing.assert_allclose(json.loads(reply)["outputs"][0]["data"], right[0], rtol=1e-5)
    assert server.process.wait(240) == 0
    (ended,) = [event for event in server.events() if event["event"] == "ended"]
    assert (ended["requests"], ended["answered"]) == (8, 8)


def clients_until_refused(server, count: int) -> tuple[list[bytes], list[threading.Thread], threading.Event]:
    """Clients that send requests, on new connections when told so, until there is nobody to send them to.

    A connection that ends without an answer ends its client; whether the server had taken that request, the server says.
    """
    host, port = server.http.split(":")
    results: list[bytes] = []
    going = threading.Event()
    content = request()
    head = b"POST /v2/models/perceptron/infer HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(content)

    def one(stream: socket.socket) -> bool:
        """Whether the connection may be used again."""
        stream.sendall(head + content)
        found = b""
        while b"\r\n\r\n" not in found:
            if not (piece := stream.recv(65536)):
                raise ConnectionError
            found += piece
        fields, _, body = found.partition(b"\r\n\r\n")
        size = int(fields.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < size:
            if not (piece := stream.recv(65536)):
                raise ConnectionError
            body += piece
        results.append(fields.split(b"\r\n")[0] + body)
        if len(results) > 100:
            going.set()
        return b"connection: close" not in fields

    def client() -> None:
        with contextlib.suppress(OSError):
            while True:
                with socket.create_connection((host, int(port)), timeout=240) as stream:
                    while one(stream):
                        pass

    threads = [threading.Thread(target=client) for _ in range(count)]
    for thread in threads:
        thread.start()
    return results, threads, going


def test_sigterm_under_load_answers_every_request_that_was_taken(start, models):
    server = start(models["perceptron"])
    results, threads, going = clients_until_refused(server, 4)
    assert going.wait(240)
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(240)
    assert server.process.wait(240) == 0
    assert {result.split(b" ")[1] for result in results} == {b"200"}
    assert all(b'"y"' in result for result in results)
    (ended,) = [event for event in server.events() if event["event"] == "ended"]
    # What the server took is what its clients have: not one request lost on either side.
    assert ended["requests"] == ended["answered"] == len(results)


def test_ready_goes_off_while_requests_are_taken_and_a_second_signal_ends_at_once(start, models):
    server = start(models["perceptron"], "--grace", "3600", "--drain", "3600", "--receive-timeout", "3600")
    assert server.call("/v2/health/ready")[0] == 200
    with waiting(server):
        server.process.send_signal(signal.SIGTERM)
        until(lambda: said(server, "draining"))
        assert server.call("/v2/health/ready")[0] == 503
        assert server.call("/v2/health/live")[0] == 200
        assert server.call("/v2/models/perceptron/infer", request())[0] == 200
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(240) == 0
    assert said(server, "ending at once")


def test_a_token(start, models, tmp_path):
    token = tmp_path / "token"
    token.write_text("open sesame\n")
    server = start(models["perceptron"], "--token-file", token)
    right = {"Authorization": "Bearer open sesame"}
    assert server.call("/v2/health/ready")[0] == 200
    for path in ("/v2", "/v2/models/perceptron", "/metrics", "/"):
        status, headers, reply = server.call(path)
        assert status == 401, reply
        assert headers["www-authenticate"] == "Bearer"
        assert server.call(path, headers=right)[0] == 200
    assert server.call("/v2/models/perceptron/infer", request(), {"Authorization": "Bearer open"})[0] == 401
    assert server.call("/v2/models/perceptron/infer", request(), right)[0] == 200
    grpc = pytest.importorskip("grpc")
    with grpc.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerMetadata")
        with pytest.raises(grpc.RpcError) as failure:
            call(b"")
        assert failure.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert b"kxchange" in call(b"", metadata=[("authorization", "Bearer open sesame")])
        assert channel.unary_unary("/inference.GRPCInferenceService/ServerReady")(b"") == b"\x08\x01"


def test_metrics_are_the_scrapers_format(server):
    parser = pytest.importorskip("prometheus_client.parser")
    before = scrape(parser, server)
    assert server.call("/v2/models/perceptron/infer", request(3))[0] == 200
    assert server.call("/v2/models/perceptron/infer", b"{}")[0] == 400
    after = scrape(parser, server)
    rose = {key: after[key] - before[key] for key in after}
    labels = 'model="perceptron",version="1"'
    assert rose[f"nv_inference_request_success{{{labels}}}"] == 1
    assert rose[f"nv_inference_count{{{labels}}}"] == 3
    assert rose[f"nv_inference_exec_count{{{labels}}}"] == 1
    assert rose['nv_inference_request_failure{model="perceptron",reason="OTHER",version="1"}'] == 1
    assert rose[f"nv_inference_compute_infer_duration_us{{{labels}}}"] >= 0
    assert rose[f'kxchange_request_duration_seconds_bucket{{le="+Inf",{labels}}}'] == 1
    assert after[f"nv_inference_pending_request_count{{{labels}}}"] == 0


def scrape(parser, server) -> dict[str, float]:
    text = server.call("/metrics")[2].decode()
    assert "# TYPE nv_inference_request_success counter\nnv_inference_request_success{" in text
    found = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            # This parser gives every counter the ending that its own client writes; the text has Triton's names.
            found[f"{sample.name.removesuffix('_total')}{{{labels}}}"] = sample.value
    return found
