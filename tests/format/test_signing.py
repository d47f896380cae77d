"""Signatures of `.kx` models, by keys that the tests make."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops, signing
from kxchange.cli import group
from kxchange.errors import FormatError, InputError, MissingBackendError, SignatureError
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType

pytest.importorskip("model_signing")
pytest.importorskip("OpenSSL")


def model(value: float = 1.0) -> Model:
    type = TensorType(DType.FLOAT32, (4, 4))
    x = placeholder("x", type)
    graph = Graph((x,), (ops.matmul(x, parameter("w", type)),))
    return Model({"main": Function(graph, ("y",))}, [Parameter("w", np.full((4, 4), value, np.float32))])


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return make_keys(tmp_path, "one")


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    pem = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_signed_file_is_proven_also_under_another_name(tmp_path, keys):
    kx.save(model(), tmp_path / "net.kx")
    made = signing.sign(tmp_path / "net.kx", keys[0])
    assert made == tmp_path / "net.kx.sig"
    assert signing.check_signature(tmp_path / "net.kx", keys[1]) == kx.format.model_file.identify(tmp_path / "net.kx")
    (tmp_path / "net.kx").rename(tmp_path / "other.kx")
    signing.check_signature(tmp_path / "other.kx", keys[1], signature=made)


def test_another_key_another_model_and_a_changed_byte_are_refused(tmp_path, keys):
    for name, value in (("a", 1.0), ("b", 2.0)):
        kx.save(model(value), tmp_path / f"{name}.kx")
    made = signing.sign(tmp_path / "a.kx", keys[0])
    with pytest.raises(SignatureError, match="does not prove"):
        signing.check_signature(tmp_path / "a.kx", make_keys(tmp_path, "two")[1])
    with pytest.raises(SignatureError, match="Hash mismatch"):
        signing.check_signature(tmp_path / "b.kx", keys[1], signature=made)
    with pytest.raises(SignatureError, match="not signed"):
        signing.check_signature(tmp_path / "b.kx", keys[1])
    raw = bytearray((tmp_path / "a.kx").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "a.kx").write_bytes(raw)
    with pytest.raises(FormatError):
        signing.check_signature(tmp_path / "a.kx", keys[1])


@pytest.mark.parametrize("bundle", [b"", b"{}", b"[1]", b"\xff", b'{"dsseEnvelope": 3, "verificationMaterial": {}}'])
def test_a_malformed_signature_is_refused(tmp_path, keys, bundle):
    kx.save(model(), tmp_path / "net.kx")
    signing.signature_path(tmp_path / "net.kx").write_bytes(bundle)
    with pytest.raises(SignatureError):
        signing.check_signature(tmp_path / "net.kx", keys[1])


def test_a_changed_payload_is_refused(tmp_path, keys):
    kx.save(model(), tmp_path / "net.kx")
    made = signing.sign(tmp_path / "net.kx", keys[0])
    bundle = json.loads(made.read_text())
    bundle["dsseEnvelope"]["payload"] = bundle["dsseEnvelope"]["payload"][:-8] + "AAAAAAA="
    made.write_text(json.dumps(bundle))
    with pytest.raises(SignatureError):
        signing.check_signature(tmp_path / "net.kx", keys[1])


def test_a_sharded_model_is_signed_by_its_index_and_every_shard_is_hashed(tmp_path, keys):
    type = TensorType(DType.FLOAT32, (64, 64))
    x = placeholder("x", type)
    y = ops.matmul(ops.matmul(x, parameter("a", type)), parameter("b", type))
    weights = [Parameter(name, np.ones((64, 64), np.float32)) for name in "ab"]
    written = Model({"main": Function(Graph((x,), (y,)), ("y",))}, weights)
    kx.save(written, tmp_path / "net.kx", max_shard_size=20_000)
    index = next(tmp_path.glob("*.kx.index.json"))
    signing.sign(index, keys[0])
    signing.check_signature(index, keys[1])
    shard = sorted(tmp_path.glob("net-*.kx"))[-1]
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(FormatError):
        signing.check_signature(index, keys[1])


def test_what_cannot_be_signed_or_used_as_a_key_is_named(tmp_path, keys, monkeypatch):
    kx.save(model(), tmp_path / "net.kx")
    with pytest.raises(InputError, match="no key"):
        signing.sign(tmp_path / "net.kx", tmp_path / "none.pem")
    with pytest.raises(InputError, match="cannot sign with"):
        signing.sign(tmp_path / "net.kx", keys[1])
    with pytest.raises(InputError, match="no file"):
        signing.sign(tmp_path / "none.kx", keys[0])
    with pytest.raises(FormatError, match=r"no \.kx model"):
        signing.sign(keys[0], keys[0])
    monkeypatch.setattr(signing, "find_spec", lambda name: None)
    with pytest.raises(MissingBackendError, match=r"kxchange\[sign\]"):
        signing.sign(tmp_path / "net.kx", keys[0])


def test_the_commands(tmp_path, keys, monkeypatch, capsys):
    kx.save(model(), tmp_path / "net.kx")
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as done:
            group.main(list(words))
        out = capsys.readouterr()
        return done.value.code or 0, out.out + out.err

    assert run("verify", "net.kx")[0] == 0
    assert "there is no net.kx.sig" in run("verify", "net.kx", "--public-key", str(keys[1]))[1]
    assert run("sign", "net.kx", "--private-key", str(keys[0])) == (0, "signed net.kx: net.kx.sig\n")
    code, text = run("verify", "net.kx", "--public-key", str(keys[1]), "--json")
    assert code == 0
    assert json.loads(text)["signed"]
    other = make_keys(tmp_path, "two")[1]
    assert run("verify", "net.kx", "--public-key", str(other))[0] == 2
