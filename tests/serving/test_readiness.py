"""Ready means proven; the end loses no request; what is not there is not served."""

from __future__ import annotations

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
    assert server.process.wait(60) == 2
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
    assert server.process.wait(60) == 1
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
    assert server.process.wait(60) == 1
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
    assert start(tmp_path / "none.kx").process.wait(60) == 2
    assert start(models["perceptron"], f"perceptron={models['centred']}").process.wait(60) == 2
    assert start(f"../up={models['centred']}").process.wait(60) == 2


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


def test_sigterm_turns_ready_off_first_and_loses_no_request(start, models):
    server = start(models["perceptron"])
    host, port = server.http.split(":")
    results: list[bytes] = []
    refused: list[OSError] = []
    failures: list[str] = []
    going = threading.Event()
    head = b"POST /v2/models/perceptron/infer HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"

    def client() -> None:
        content = request()
        while not refused:
            try:
                stream = socket.create_connection((host, int(port)), timeout=30)
            except OSError as error:
                refused.append(error)
                return
            with stream, stream.makefile("rb") as reader:
                closing = False
                while not closing:
                    try:
                        stream.sendall(head % len(content) + content)
                        status = reader.readline()
                    except OSError:
                        status = b""
                    if not status:
                        failures.append("closed without an answer")
                        return
                    size = 0
                    while (line := reader.readline()) not in (b"\r\n", b""):
                        size = int(line.split(b":")[1]) if line.lower().startswith(b"content-length") else size
                        closing = closing or line.lower().startswith(b"connection: close")
                    results.append(status + reader.read(size))
                    if len(results) > 100:
                        going.set()

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert going.wait(60)
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(60)
    assert server.process.wait(60) == 0
    # A connection that the kernel took after the last accept was never ours; one per client at most, at the very end.
    assert len(failures) <= len(threads)
    assert len(results) > 100
    assert {result.split(b" ")[1] for result in results} == {b"200"}
    assert all(b'"y"' in result for result in results)


def test_ready_goes_off_while_live_stays(start, models):
    server = start(models["perceptron"])
    assert server.call("/v2/health/ready")[0] == 200
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.15)
    assert server.call("/v2/health/ready")[0] == 503
    assert server.call("/v2/health/live")[0] == 200
    assert server.process.wait(60) == 0


def test_a_second_signal_ends_at_once(start, models):
    server = start(models["perceptron"], "--drain", "60")
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port))) as stream:
        stream.sendall(b"POST /v2/models/perceptron/infer HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n")
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


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
