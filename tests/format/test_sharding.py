"""Models in shards: the same model, committed by its index."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile.honest_files import honest_kx, honest_model

import kxchange as kx
from kxchange.errors import FormatError, InputError, WriteError
from kxchange.format.model_file import identify
from kxchange.format.sharding import parse_size

SIZE = 70
NAMES = ["net.kx.index.json", "net-{}-00001-of-00002.kx", "net-{}-00002-of-00002.kx"]


def save(folder: Path, model: Any = None, **options: Any) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return kx.save(model or honest_model(), folder / "net.kx", **{"max_shard_size": SIZE} | options)


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def other_model() -> Any:
    model = honest_model()
    model.parameters["b"] = model.parameters["b"].replace(data=np.ones(4, np.float32))
    return model


def test_index_and_shards(tmp_path: Path) -> None:
    index, *shards = save(tmp_path / "a")
    record = json.loads(index.read_text())
    assert index.name == "net.kx.index.json"
    assert [row["file"] for row in record["shards"]] == [shard.name for shard in shards]
    assert record["weight_map"] == {"w": shards[0].name, "b": shards[1].name, "mask": shards[1].name}
    assert record["metadata"] == {"total_size": 64 + 16 + 3}
    assert {path.name for path in (tmp_path / "a").iterdir()} == {index.name, *(shard.name for shard in shards)}


@pytest.mark.parametrize("name", ["net.kx.index.json", "net.kx"])
def test_what_is_loaded_is_what_was_saved(tmp_path: Path, name: str) -> None:
    save(tmp_path / "a")
    model, loaded = honest_model(), kx.load(tmp_path / "a" / name)
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(loaded(x=x)["y"], model(x=x)["y"])
    assert list(loaded.parameters) == list(model.parameters)
    assert loaded.parameters["tied"].alias_of == "w"


def test_the_model_id_is_that_of_the_single_file(tmp_path: Path) -> None:
    index = save(tmp_path / "a")[0]
    three = save(tmp_path / "b", max_shard_size=1)
    assert len(three) == 4
    single = honest_kx(tmp_path)
    assert identify(index, verify=True) == identify(three[0], verify=True) == identify(single, verify=True)


def test_the_safetensors_library_opens_each_shard(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    loaded = {name: value for shard in save(tmp_path / "a")[1:] for name, value in load_file(shard).items()}
    np.testing.assert_array_equal(loaded["w"], np.arange(16, dtype=np.float32).reshape(4, 4))
    assert set(loaded) == {"w", "b", "mask"}


def test_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    save(tmp_path / "a")
    honest_kx(tmp_path / "a")
    script = (
        "import sys; from pathlib import Path; import kxchange as kx\n"
        "from hostile.honest_files import honest_kx, honest_model\n"
        "folder = Path(sys.argv[1]); kx.save(honest_model(), folder / 'net.kx', max_shard_size=70); honest_kx(folder)"
    )
    (tmp_path / "b").mkdir()
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "b")], check=True, env=environment)
    assert listing(tmp_path / "a") == listing(tmp_path / "b")


def test_saving_what_was_loaded_gives_the_same_bytes(tmp_path: Path) -> None:
    index = save(tmp_path / "a")[0]
    save(tmp_path / "b", kx.load(index))
    assert listing(tmp_path / "a") == listing(tmp_path / "b")


def test_a_small_model_stays_one_file(tmp_path: Path) -> None:
    assert save(tmp_path / "a", max_shard_size="5GB") == [tmp_path / "a" / "net.kx"]
    assert listing(tmp_path / "a")["net.kx"] == honest_kx(tmp_path).read_bytes()


def test_an_index_name_asks_for_shards(tmp_path: Path) -> None:
    files = kx.save(honest_model(), tmp_path / "net.kx.index.json")
    assert [path.name[-8:] for path in files] == ["dex.json", "00001.kx"]
    assert identify(files[0]) == identify(honest_kx(tmp_path))


def test_another_save_replaces_the_shards_and_readers_keep_theirs(tmp_path: Path) -> None:
    index = save(tmp_path / "a")[0]
    before = kx.load(index)
    view = before.array("b")
    save(tmp_path / "a", other_model())
    assert len(listing(tmp_path / "a")) == 3
    np.testing.assert_array_equal(view, np.arange(4))
    np.testing.assert_array_equal(kx.load(index).array("b"), np.ones(4))


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    old = [folder / "net-0123456789ab-00001-of-00001.kx", folder / "nets-0123456789ab-00001-of-00001.kx"]
    for path in old:
        path.write_bytes(b"x")
        os.utime(path, (0, 0))
    save(folder)
    # What a killed save of this very name left long ago goes, what belongs to another model stays.
    assert [path.exists() for path in old] == [False, True]


def test_a_single_file_is_not_shadowed(tmp_path: Path) -> None:
    honest_kx(tmp_path)
    with pytest.raises(WriteError, match="single file"):
        save(tmp_path)


def test_a_failed_save_leaves_the_old_model(tmp_path: Path) -> None:
    save(tmp_path / "a")
    before = listing(tmp_path / "a")
    model = other_model()

    def fail() -> Any:
        raise OSError(28, "No space left on device")

    model.parameters["mask"] = model.parameters["mask"].replace(data=fail)
    with pytest.raises((WriteError, FormatError), match="No space left"):
        save(tmp_path / "a", model)
    assert listing(tmp_path / "a") == before


def test_links_are_followed_on_request(tmp_path: Path) -> None:
    index, first, _ = save(tmp_path / "a")
    first.rename(tmp_path / "blob")
    first.symlink_to(tmp_path / "blob")
    with pytest.raises(FormatError, match="cannot be opened"):
        kx.load(index)
    np.testing.assert_array_equal(kx.load(index, follow_links=True).array("w").ravel(), np.arange(16))


def test_damage_in_a_shard_is_found(tmp_path: Path) -> None:
    index, first, _ = save(tmp_path / "a")
    data = bytearray(first.read_bytes())
    data[-5] ^= 16
    first.write_bytes(data)
    kx.load(index)
    with pytest.raises(FormatError, match="'w'"):
        identify(index, verify=True)


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("5GB", 5 * 10**9), ("2 MiB", 2**21), ("3kb", 3000), (7, 7)])
def test_sizes(text: Any, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1.5GB", "0", 0, "5PB", "\u0665GB"])
def test_sizes_that_are_none(text: Any) -> None:
    with pytest.raises(InputError):
        parse_size(text)


def test_on_the_command_line(tmp_path: Path) -> None:
    honest_kx(tmp_path)
    arguments = ["convert", str(tmp_path / "net.kx"), str(tmp_path / "two.kx"), "--max-shard-size", "70"]
    subprocess.run([sys.executable, "-m", "kxchange", *arguments, "--no-validate"], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "kxchange", "inspect", "--verify", "--json", str(tmp_path / "two.kx.index.json")],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    assert (found["model_id"], found["verified"]) == (identify(tmp_path / "net.kx"), True)
