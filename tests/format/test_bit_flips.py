"""Every single bit of a `.kx` file, flipped, is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hostile.honest_files import honest_model

import kxchange as kx
from kxchange.errors import FormatError
from kxchange.format.model_file import identify


def undetected(path: Path, index: Path, step: int = 1) -> tuple[list[int], int]:
    """Bits of `path` whose change `verify` of `index` does not notice, and how many were tried."""
    original = path.read_bytes()
    quiet: list[int] = []
    tried = 0
    with open(path, "r+b", buffering=0) as stream:
        for bit in range(0, 8 * len(original), step):
            place, tried = bit // 8, tried + 1
            os.pwrite(stream.fileno(), bytes([original[place] ^ 1 << bit % 8]), place)
            try:
                identify(index, verify=True)
                quiet.append(bit)
            except FormatError:
                pass
            os.pwrite(stream.fileno(), original[place : place + 1], place)
    assert path.read_bytes() == original
    identify(index, verify=True)
    return quiet, tried


@pytest.fixture
def model() -> object:
    model = honest_model()
    model.evidence = [{"rows": [{"backend": "numpy", "verdict": "SAME", "error": 1.5e-7}]}]
    model.provenance = {"backend": "test"}
    return model


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_every_bit_of_a_file(tmp_path: Path, model: object, step: int) -> None:
    path = kx.save(model, tmp_path / "net.kx")[0]  # pyright: ignore[reportArgumentType]
    quiet, tried = undetected(path, path, step)
    assert quiet == []
    assert tried == -(-8 * path.stat().st_size // step)


@pytest.mark.slow
def test_every_bit_of_an_index_and_its_shards(tmp_path: Path, model: object) -> None:
    for path in (files := kx.save(model, tmp_path / "net.kx", max_shard_size=70)):  # pyright: ignore[reportArgumentType]
        assert undetected(path, files[0])[0] == []


def test_bits_of_an_index_and_its_shards(tmp_path: Path, model: object) -> None:
    for path in (files := kx.save(model, tmp_path / "net.kx", max_shard_size=70)):  # pyright: ignore[reportArgumentType]
        assert undetected(path, files[0], 37)[0] == []
