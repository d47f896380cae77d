"""Hashes of tensors and models."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kxchange.errors import FormatError
from kxchange.format.integrity import TensorRecord, model_id, tensor_sha256, verify_tensors
from kxchange.format.reader import TensorFile
from kxchange.format.writer import write_tensor_file

A = TensorRecord("a", "F32", (2, 3), "1" * 64)
B = TensorRecord("b", "I64", (), "2" * 64)
DOCUMENT: dict[str, Any] = {"kx": 1, "functions": {"main": [1, "é"]}}


def test_a_tensor_hash_is_sha256_of_its_bytes_in_order() -> None:
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    assert tensor_sha256(array) == hashlib.sha256(bytes([0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0])).hexdigest()
    assert (
        tensor_sha256(array.T.astype(">i2")) == hashlib.sha256(bytes([0, 0, 3, 0, 1, 0, 4, 0, 2, 0, 5, 0])).hexdigest()
    )
    large = np.arange(2**23, dtype=np.uint8)
    assert tensor_sha256(large) == hashlib.sha256(large.tobytes()).hexdigest()


def test_the_model_id_is_pinned() -> None:
    text = '{"functions":{"main":[1,"é"]},"kx":1}\n'
    text += f'[["a","F32",[2,3],"{"1" * 64}"],["b","I64",[],"{"2" * 64}"]]'
    assert model_id(DOCUMENT, [A, B]) == hashlib.sha256(text.encode()).hexdigest()


def test_the_model_id_sees_the_model_and_not_its_file_or_its_evidence() -> None:
    reference = model_id(DOCUMENT, [A, B])
    assert model_id(dict(reversed(DOCUMENT.items())), [B, A]) == reference
    assert model_id(DOCUMENT | {"integrity": {"a": "x"}, "evidence": [1]}, [A, B]) == reference
    changed = [
        model_id(DOCUMENT | {"kx": 2}, [A, B]),
        model_id(DOCUMENT | {"provenance": {}}, [A, B]),
        model_id(DOCUMENT, [A]),
        model_id(DOCUMENT, [A, B._replace(name="c")]),
        model_id(DOCUMENT, [A, B._replace(dtype="U64")]),
        model_id(DOCUMENT, [A, B._replace(shape=(1,))]),
        model_id(DOCUMENT, [A, B._replace(sha256="3" * 64)]),
    ]
    assert len({reference, *changed}) == len(changed) + 1


def test_one_name_twice_has_no_id() -> None:
    with pytest.raises(FormatError, match="two tensors named 'a'"):
        model_id(DOCUMENT, [A, B, A._replace(shape=(6,))])


def test_a_flipped_bit_is_found_and_named(tmp_path: Path) -> None:
    path = tmp_path / "net.kx"
    arrays = {"a": np.ones(16, np.float32), "b": np.ones(16, np.float32)}
    hashes = dict(
        write_tensor_file(path, arrays, lambda hashes: {"format": "pt", "kx": "".join(hashes.values())}).sha256
    )
    with TensorFile.open(path) as file:
        verify_tensors(file, hashes, source="net.kx")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with (
        TensorFile.open(path) as file,
        pytest.raises(FormatError, match=r"net.kx is damaged: the bytes of 1 of 2 tensors .* SHA-256: 'b'"),
    ):
        verify_tensors(file, hashes, source="net.kx")
