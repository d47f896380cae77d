"""Cases 63 to 70: the index and the shards of a sharded `.kx` model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import kxchange as kx
from hostile.honest_files import honest_model, read_header, spell, write_header
from hostile.hostile_table import KEEP, Group

SIZE = 70  # 64 bytes of `w` in one shard, `b` and `mask` in another


def honest(folder: Path) -> Path:
    return kx.save(honest_model(), folder / "net.kx", max_shard_size=SIZE)[0]


def index(change: Callable[[dict[str, Any]], Any]) -> Any:
    """The sound model with its index changed."""

    def make(folder: Path) -> Path:
        path = honest(folder)
        record = json.loads(path.read_text())
        change(record)
        path.write_bytes(spell(record).encode())
        return path

    return make


def files(change: Callable[[Path, Path, Path], Any]) -> Any:
    """The sound model with its files changed: the folder, the first and the second shard."""

    def make(folder: Path) -> Path:
        path = honest(folder)
        first, second = sorted(folder.glob("*-of-*.kx"))
        change(folder, first, second)
        return path

    return make


def named(name: str) -> Any:
    """The first shard is called `name`, also in the map."""

    def change(record: dict[str, Any]) -> None:
        old = record["shards"][0]["file"]
        record["shards"][0]["file"] = name
        record["weight_map"] = {key: name if value == old else value for key, value in record["weight_map"].items()}

    return index(change)


def replaced(make: Callable[[Path, Path], Any]) -> Any:
    """The first shard is moved out of the folder and `make(target, place)` puts something in its place."""

    def change(folder: Path, first: Path, second: Path) -> None:
        away = folder / "away"
        away.mkdir()
        first.rename(away / "shard")
        make(away / "shard", first)

    return files(change)


def moved(record: dict[str, Any]) -> None:
    record["weight_map"]["w"] = record["shards"][1]["file"]


def rewritten(change: Callable[[dict[str, Any]], Any]) -> Any:
    """The first shard with its header changed, and the index told of its size and hash."""
    import hashlib

    def make(folder: Path) -> Path:
        path = honest(folder)
        shard = min(folder.glob("*-of-*.kx"))
        table, data = read_header(shard.read_bytes())
        data = change(table) or data
        raw = write_header(table, data)
        shard.write_bytes(raw)
        record = json.loads(path.read_text())
        header = raw[: len(raw) - len(data)]
        record["shards"][0] |= {"bytes": len(raw), "sha256": hashlib.sha256(header).hexdigest()}
        path.write_bytes(spell(record).encode())
        return path

    return make


def other_model(folder: Path, first: Path, second: Path) -> None:
    """The second shard comes from another save of a model of the same names and sizes."""
    model = honest_model()
    entry = model.parameters["b"]
    model.parameters["b"] = entry.replace(data=np.ones(4, np.float32))
    elsewhere = folder / "other"
    elsewhere.mkdir()
    kx.save(model, elsewhere / "net.kx", max_shard_size=SIZE)
    os.replace(max(elsewhere.glob("*-of-*.kx")), second)


def foreign_id(table: dict[str, Any]) -> None:
    document = json.loads(table["__metadata__"]["kx"])
    document["shard"]["model_id"] = "0" * 64
    table["__metadata__"]["kx"] = spell(document)


def second_copy(table: dict[str, Any]) -> bytes:
    """A tensor of the second shard stands in the first one, too."""
    table["b"] = {"data_offsets": [64, 80], "dtype": "F32", "shape": [4]}
    return bytes(80)


def flipped(folder: Path, first: Path, second: Path) -> None:
    data = bytearray(first.read_bytes())
    data[-1] ^= 1
    first.write_bytes(data)


def crashed(folder: Path, first: Path, second: Path) -> None:
    """The shards of a newer save are there; its index never came."""
    (folder / "net-0123456789ab-00001-of-00001.kx").write_bytes(first.read_bytes())
    (folder / ".kx-0123456789abcdef.tmp").write_bytes(b"half")


def cases() -> Group:
    group = Group("shards", honest)
    good = "net-0123456789ab-00001-of-00002.kx"
    for name in (
        *("../x", "../" + good, "a/../../x", "/etc/passwd", "/" + good, "..\\" + good, "C:\\" + good, "C:" + good, ""),
        *("a\0-00001-of-00002.kx", "." + good, "net-00001-of-00002.kx.", "net-00001-of-00002.kx/", "x" * 5000),
        *("http://x/" + good, "n\u0435t-00001-of-00002.kx", "net-\u0661\u0661\u0661\u0661\u0661-of-00002.kx"),
    ):
        group.add(63, f"shard called {name[:40]!a}", named(name), "not the name of a shard")
    group.add(63, "another number", named("net-0123456789ab-00002-of-00002.kx"), "in the place")
    group.add(63, "another count", named("net-0123456789ab-00001-of-00009.kx"), "in the place")
    for name, put in {
        "symbolic link": lambda target, place: place.symlink_to(target),
        "hard link": lambda target, place: os.link(target, place),
        "named pipe": lambda target, place: os.mkfifo(place),
        "folder": lambda target, place: place.mkdir(),
        "device": lambda target, place: place.symlink_to("/dev/zero"),
        "link to itself": lambda target, place: place.symlink_to(place),
    }.items():
        group.add(64, name, replaced(put), "cannot be opened|not a regular file|a folder|hard links")
    tables(group)
    return group


def tables(group: Group) -> None:
    group.add(65, "tensor in another shard", index(moved), "says")
    group.add(65, "tensor in no shard", index(lambda r: r["weight_map"].update(w="evil.kx")), "no shard of it")
    group.add(65, "tensor that does not exist", index(lambda r: r["weight_map"].update(x=r["weight_map"]["w"])), "'x'")
    group.add(65, "tensor without a place", index(lambda r: r["weight_map"].pop("w")), "'w'")
    group.add(66, "tensor in two shards", rewritten(second_copy), "'b'")
    group.add(67, "shard of another save", files(other_model), "not the shard")
    group.add(67, "shard of another model id", rewritten(foreign_id), "not shard 1")
    group.add(
        67,
        "shards exchanged",
        files(lambda folder, a, b: (a.rename(folder / "x"), b.rename(a), (folder / "x").rename(b))),
        "not the shard",
    )
    group.add(67, "bit flipped in a shard", files(flipped), "SHA-256|byte", action="verify")
    group.add(68, "missing shard", files(lambda folder, a, b: a.unlink()), "cannot be opened")
    group.add(68, "shard listed twice", index(lambda r: r["shards"].append(r["shards"][0])), "in the place")
    group.add(68, "shard left out", index(lambda r: r["shards"].pop()), "in the place")
    group.add(69, "shard one byte short", files(lambda folder, a, b: os.truncate(b, b.stat().st_size - 1)), "")
    group.add(69, "shard one byte long", files(lambda folder, a, b: b.write_bytes(b.read_bytes() + b"\0")), "")
    group.add(69, "size stated too small", index(lambda r: r["shards"][0].update(bytes=1)), "not the shard")
    group.add(69, "size a text", index(lambda r: r["shards"][0].update(bytes="1")), "bytes")
    group.add(70, "newer shards without an index", files(crashed), verdict=KEEP)
    group.add(70, "total a lie", index(lambda r: r["metadata"].update(total_size=2**53)), "bytes, the index says")
    group.add(70, "unknown member", index(lambda r: r.update(evil=1)), "evil")
    group.add(70, "document a number", index(lambda r: r.update(kx=1)), "kx")
    group.add(70, "document empty", index(lambda r: r.update(kx="{}")), "model id")
    group.add(70, "a shard opened alone", alone, "one shard")


def alone(folder: Path) -> Path:
    honest(folder)
    return min(folder.glob("*-of-*.kx"))
