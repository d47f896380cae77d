"""What is written for other systems is what they read, and is served back unchanged."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from serving_models import perceptron

import kxchange as kx
from kxchange.errors import InputError
from kxchange.serving.deploy import deploy


@pytest.fixture
def cached(cache, monkeypatch):
    monkeypatch.setenv("KXCHANGE_CACHE", str(cache))


def test_triton_reads_the_configuration_and_we_serve_the_folder(cached, start, models, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grpc = pytest.importorskip("tritonclient.grpc")
    from google.protobuf import text_format

    deploy(models["perceptron"], "triton", tmp_path, name="net", version="3", max_batch=8)
    assert (tmp_path / "net" / "3" / "model.onnx").is_file()
    text = (tmp_path / "net" / "config.pbtxt").read_text()
    config = text_format.Parse(text, grpc.model_config_pb2.ModelConfig())  # an unknown field is an error here
    assert (config.name, config.backend, config.max_batch_size) == ("net", "onnxruntime", 8)
    assert [(e.name, e.data_type, list(e.dims)) for e in config.input] == [("x", 11, [64])]
    assert [(e.name, e.data_type, list(e.dims)) for e in config.output] == [("y", 11, [10])]
    assert config.HasField("dynamic_batching")
    server = start(tmp_path)
    (loaded,) = [event for event in server.events() if event["event"] == "loaded"]
    assert (loaded["version"], loaded["self_test"], loaded["batching"]) == ("3", "SAME", "on")
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 64], "data": [1.0] * 64}]}
    reply = json.loads(server.call("/v2/models/net/infer", json.dumps(body).encode())[2])
    right = kx.load(models["perceptron"])(x=np.ones((1, 64), np.float32))["y"]
    np.testing.assert_allclose(reply["outputs"][0]["data"], right[0], rtol=1e-5)
    assert server.stop() == 0


def test_a_flipped_byte_in_a_deployed_file_is_never_ready(cached, start, models, tmp_path):
    deploy(models["perceptron"], "triton", tmp_path)
    path = tmp_path / "perceptron" / "1" / "model.onnx"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    server = start(tmp_path)
    assert server.process.wait(240) == 1
    assert not [event for event in server.events() if event["event"] == "ready"]


def test_a_model_without_a_batch_axis_gets_whole_shapes(cached, tmp_path, models):
    deploy(models["centred"], "triton", tmp_path, max_batch=8)
    text = (tmp_path / "centred" / "config.pbtxt").read_text()
    assert "max_batch_size" not in text
    assert "dims: -1" in text
    assert "dynamic_batching" not in text


def test_kserve_manifest(cached, models, tmp_path):
    yaml = pytest.importorskip("yaml")
    deploy(models["perceptron"], "kserve", tmp_path, name="net", replicas=3)
    manifest = yaml.safe_load((tmp_path / "net.yaml").read_text())
    assert manifest["kind"] == "InferenceService"
    assert manifest["metadata"]["name"] == "net"
    assert manifest["spec"]["predictor"]["minReplicas"] == 3
    assert manifest["spec"]["predictor"]["model"]["protocolVersion"] == "v2"
    with pytest.raises(InputError, match="Kubernetes|InferenceService"):
        deploy(models["perceptron"], "kserve", tmp_path, name="Net_1")


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a\nb: c", "x" * 200])
def test_names_that_are_no_names(cached, tmp_path, models, name):
    source = models["perceptron"]
    if name == "":
        source = tmp_path / "...kx"
        source.write_bytes(models["perceptron"].read_bytes())
    with pytest.raises(InputError):
        deploy(source, "triton", tmp_path / "out", name=name)
    assert not (tmp_path / "out").exists()


def test_a_ray_replica_answers_as_the_server(cached, models, tmp_path):
    """The replica's own code with a stand-in for what Ray hands it; Ray itself is needed to run several."""
    pytest.importorskip("starlette")
    import asyncio

    from starlette.requests import Request

    from kxchange.serving.ray_app import Replica

    deploy(models["perceptron"], "ray", tmp_path)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["replicas"] == 2
    assert (tmp_path / "app.py").read_text() == Path(kx.__file__).with_name("serving").joinpath(
        "ray_app.py"
    ).read_text()
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 64], "data": [1.0] * 64}]}

    async def receive():
        return {"type": "http.request", "body": json.dumps(body).encode()}

    scope = {"type": "http", "method": "POST", "path": "/v2/models/perceptron/infer", "headers": []}
    response = asyncio.run(Replica(str(tmp_path))(Request(scope, receive)))
    right = perceptron()(x=np.ones((1, 64), np.float32))["y"]
    np.testing.assert_allclose(json.loads(response.body)["outputs"][0]["data"], right[0], rtol=1e-5)


def test_bench_measures_and_draws(cached, models, tmp_path):
    from xml.etree import ElementTree

    from kxchange.serving.bench import bench, plot

    found = bench(models["perceptron"], ["numpy", "onnx"], [1, 4], 0.05)
    assert [(entry.backend, entry.batch) for entry in found] == [("numpy", 1), ("numpy", 4), ("onnx", 1), ("onnx", 4)]
    for entry in found:
        assert entry.error == ""
        assert entry.runs >= 5
        assert 0 < entry.milliseconds["p50"] <= entry.milliseconds["p90"] <= entry.milliseconds["p99"]
    drawn = ElementTree.fromstring(plot(found))
    assert len(drawn.findall("{*}polyline")) == 2


def test_bench_says_what_cannot_be_measured(cached, models, tmp_path):
    from kxchange.serving.bench import bench

    (tmp_path / "bad.kx").write_bytes(b"no model")
    (row,) = bench(tmp_path / "bad.kx", ["numpy"], [1], 0.05)
    assert row.milliseconds is None
    assert row.error
