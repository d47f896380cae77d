"""What earlier versions wrote is read, run and saved again, on every backend; what a later one may write is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kxchange as kx
from kxchange.converter import converters
from kxchange.errors import FormatError, KxchangeError
from kxchange.format.model_file import identify

FROZEN = Path(__file__).parents[1] / "data" / "kx1"
FOLDERS = sorted(path.parent for path in FROZEN.glob("*/id.txt"))
# What these backends do not have, and may refuse by name: 4-bit integers as parameters; loops and branches.
REFUSED = {("dtypes", "tensorflow"), ("dtypes", "torch"), ("control_flow", "keras")}


def model_of(folder: Path) -> Path:
    return next(path for path in (folder / "model.kx", folder / "model.kx.index.json") if path.exists())


def recorded(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for key, array in np.load(folder / "cases.npz", allow_pickle=False).items():
        function, side, name = key.split("/")
        found.setdefault(function, {"inputs": {}, "outputs": {}})[side][name] = array
    return found


def backends() -> list[str]:
    return [name for name, entry in converters().items() if entry.prepare_verb]


@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_it_is_read_and_run(folder: Path, backend: str) -> None:
    if converters()[backend].missing:
        pytest.skip(f"{backend} is not installed")
    model, ran = kx.load(model_of(folder)), False
    for function, case in recorded(folder).items():
        try:
            outputs = kx.run(model, case["inputs"], backend=backend, function=function)
        except KxchangeError:
            assert (folder.name, backend) in REFUSED
            continue
        ran = True
        assert list(outputs) == list(case["outputs"])
        for name, array in case["outputs"].items():
            assert np.asarray(outputs[name]).dtype == array.dtype
            np.testing.assert_allclose(outputs[name], array, rtol=1e-5, atol=1e-6, err_msg=name)
    assert ran or (folder.name, backend) in REFUSED


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_it_is_whole_and_saved_again_the_same(folder: Path, tmp_path: Path) -> None:
    path, wanted = model_of(folder), (folder / "id.txt").read_text().strip()
    assert identify(path, verify=True) == wanted
    options = {"max_shard_size": 70} if path.suffix == ".json" else {}
    written = kx.save(kx.load(path), tmp_path / "model.kx", **options)
    assert identify(written[0], verify=True) == wanted
    assert {file.name: file.read_bytes() for file in written} == {
        file.name: file.read_bytes() for file in folder.iterdir() if file.name.startswith("model")
    }


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("feature", "'warp-drive'"),
        ("reader", "reader of version 2"),
        ("op", "'linear' version 99"),
        ("unknown_op", "'warp'"),
    ],
)
def test_a_file_from_the_future_is_refused_by_name(name: str, match: str) -> None:
    with pytest.raises(FormatError, match=f"{match}.*Update kxchange"):
        kx.load(FROZEN / "future" / f"{name}.kx")


def test_the_frozen_files_cover_the_features() -> None:
    from fuzz.models import every_feature

    assert {folder.name for folder in FOLDERS} == {name.replace(" ", "_") for name in every_feature()} | {"sharded"}
