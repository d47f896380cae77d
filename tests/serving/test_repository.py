"""Folders of models, versions, configurations, loading and unloading."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from serving_models import perceptron

import kxchange as kx
from kxchange.errors import FormatError, InputError
from kxchange.serving.repository import find_models
from kxchange.serving.served import Options
from kxchange.serving.triton_config import apply_config, read_config
from kxchange.serving.wire_schema import METHODS, SERVICE, messages

CONFIG = """
name: "net"
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 64 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 10 ] } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 priority_levels: 2 }
instance_group [ { count: 2 kind: KIND_CPU } ]
optimization { graph { level: 1 } }
version_policy: { all { } }
"""


def body(value: float = 1.0) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 64], "data": [value] * 64}]}).encode()


@pytest.fixture
def folder(tmp_path, models):
    """A repository as Triton has it: two versions of one model, a configuration, things that are no models."""
    net = tmp_path / "repository" / "net"
    (net / "1").mkdir(parents=True)
    (net / "2").mkdir()
    (net / "notes").mkdir()
    (net / "config.pbtxt").write_text(CONFIG)
    kx.save(kx.load(models["perceptron"]), net / "1" / "model.onnx")
    twice = kx.load(models["perceptron"])
    changed = {
        n: p.replace(data=p.array * np.float32(2)) if n.endswith("2") else p for n, p in twice.parameters.items()
    }
    kx.save(twice.replace(parameters=changed), net / "2" / "model.kx")
    (tmp_path / "repository" / "README.txt").write_text("no model")
    (tmp_path / "repository" / "empty").mkdir()
    return tmp_path / "repository"


def test_a_folder_of_models(folder):
    found = find_models([str(folder)], Options()).all()
    assert [(e.name, e.version, e.source.name) for e in found] == [("net", "1", "model.onnx"), ("net", "2", "model.kx")]
    own = find_models([str(folder / "net")], Options()).all()
    assert [entry.source for entry in own] == [entry.source for entry in found]
    assert [entry.name for entry in find_models([f"other={folder / 'net'}"], Options()).all()] == ["other", "other"]


def test_versions_and_control(start, folder):
    server = start(folder, "--model-control")
    one, two, latest = (
        json.loads(server.call(f"/v2/models/net{version}/infer", body())[2])
        for version in ("/versions/1", "/versions/2", "")
    )
    assert [reply["model_version"] for reply in (one, two, latest)] == ["1", "2", "2"]
    assert latest == two
    np.testing.assert_allclose(np.array(two["outputs"][0]["data"]), 2 * np.array(one["outputs"][0]["data"]), rtol=1e-6)
    metadata = json.loads(server.call("/v2/models/net")[2])
    assert metadata["versions"] == ["1", "2"]
    config = json.loads(server.call("/v2/models/net/config")[2])
    assert config["max_batch_size"] == 8
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == "100"
    assert config["instance_group"] == [{"count": 2, "kind": "KIND_CPU"}]
    assert server.call("/v2/repository/models/net/unload", b"{}")[0] == 200
    assert server.call("/v2/models/net/ready")[0] == 503
    assert server.call("/v2/models/net/infer", body())[0] == 503
    index = json.loads(server.call("/v2/repository/index", b"")[2])
    assert {(e["version"], e["state"], e["reason"]) for e in index} == {
        ("1", "UNAVAILABLE", "unloaded"), ("2", "UNAVAILABLE", "unloaded")
    }  # fmt: skip
    assert json.loads(server.call("/v2/repository/index", b'{"ready": true}')[2]) == []
    assert server.call("/v2/repository/models/net/load", b"{}")[0] == 200
    assert json.loads(server.call("/v2/models/net/infer", body())[2]) == latest
    # A version that went bad keeps the one that is loaded, and says so.
    damaged = folder / "net" / "2" / "model.kx"
    raw = bytearray(damaged.read_bytes())
    raw[-20] ^= 1
    damaged.unlink()
    damaged.write_bytes(raw)
    status, _, reply = server.call("/v2/repository/models/net/load", b"{}")
    assert status == 503
    assert b"log" in reply
    assert json.loads(server.call("/v2/models/net/infer", body())[2]) == latest
    assert server.stop() == 0


def test_a_configuration_sets_batching_and_instances(tmp_path):
    path = tmp_path / "config.pbtxt"
    path.write_text(CONFIG)
    options = apply_config(read_config(path), Options(), "net")
    assert (options.max_batch, options.max_delay_us, options.workers) == (8, 100, 2)
    path.write_text("max_batch_size: 8")
    assert apply_config(read_config(path), Options(), "net").max_batch == 0
    path.write_text('backend: "python"')
    with pytest.raises(InputError, match="python"):
        apply_config(read_config(path), Options(), "net")
    for text in ("max_batch_size: many", "{", "input [ { name: ", "\x00"):
        path.write_text(text)
        with pytest.raises(FormatError):
            read_config(path)


def test_the_wire_is_the_clients():
    """Every field of ours has the number, type and label that the protocol's own client has."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grpc = pytest.importorskip("tritonclient.grpc")
    methods = grpc.service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    compared: set[str] = set()

    def compare(ours, theirs) -> None:
        if ours.full_name in compared:
            return
        compared.add(ours.full_name)
        for field in ours.fields:
            match = theirs.fields_by_name[field.name]
            assert (match.number, match.type, match.is_repeated) == (field.number, field.type, field.is_repeated)
            if field.enum_type is not None:
                values = match.enum_type.values_by_name
                assert all(values[value.name].number == value.number for value in field.enum_type.values)
            if field.message_type is not None:
                compare(field.message_type, match.message_type)

    for method in METHODS:
        for kind, other in (("Request", methods[method].input_type), ("Response", methods[method].output_type)):
            compare(messages()[f"{method}{kind}"].DESCRIPTOR, other)
    assert {f"inference.{name}" for name in SERVICE} <= compared


def test_a_source_is_converted_once_and_again_when_it_changes(tmp_path, monkeypatch, models):
    from kxchange.serving import prepared

    monkeypatch.setenv("KXCHANGE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "net.kx"
    shutil.copy(models["perceptron"], path)
    first = prepared.prepare(path)
    assert first.digest == prepared.file_digest(first.onnx)

    def never(*_):
        raise AssertionError("converted twice")

    with monkeypatch.context() as patch:
        patch.setattr(prepared, "convert_apart", never)
        assert prepared.prepare(path) == first
        path.unlink()
        kx.save(perceptron().replace(metadata={"a": "b"}), path)
        with pytest.raises(AssertionError, match="twice"):
            prepared.prepare(path)
    # What an .onnx file keeps beside it counts too.
    kx.save(kx.load(models["perceptron"]), tmp_path / "apart.onnx", external_data=True)
    before = prepared.content_digest(tmp_path / "apart.onnx")
    data = tmp_path / "apart.onnx.data"
    raw = bytearray(data.read_bytes())
    raw[0] ^= 1
    data.write_bytes(raw)
    assert prepared.content_digest(tmp_path / "apart.onnx") != before


def test_what_else_a_conversion_depends_on(tmp_path, monkeypatch, models):
    """The file format, the versions of kxchange, of the converters and of what they need, and their code."""
    from importlib import metadata

    from kxchange.serving import prepared

    keys = [prepared.cache_key(models["perceptron"])]
    assert prepared.cache_key(models["perceptron"]) == keys[0]
    version = metadata.version
    with monkeypatch.context() as patch:
        patch.setattr(prepared, "FORMAT", prepared.FORMAT + 1)
        keys.append(prepared.cache_key(models["perceptron"]))
    with monkeypatch.context() as patch:
        patch.setattr(prepared, "__version__", "99")
        keys.append(prepared.cache_key(models["perceptron"]))
    with monkeypatch.context() as patch:
        patch.setattr(metadata, "version", lambda name: "99" if name == "onnxruntime" else version(name))
        keys.append(prepared.cache_key(models["perceptron"]))
    assert len(set(keys)) == len(keys)
    package = tmp_path / "a_converter_of_others"
    package.mkdir()
    (package / "lower.py").write_text("a = 1")
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = prepared.code_digest(package.name)
    assert prepared.code_digest(package.name) == before
    (package / "lower.py").write_text("a = 10")
    assert prepared.code_digest(package.name) != before
    assert any(entry.startswith("onnx=kxchange_onnx:converter=kxchange=") for entry in prepared.code_versions())


def test_an_address_that_is_taken_is_exit_code_2(start, models, server):
    second = start(models["perceptron"], "--port", server.http.split(":")[1], wait=False, port=False)
    assert second.process.wait(240) == 2
