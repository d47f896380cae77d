"""What is fuzzed: seeds of each format, how they are changed, and the reader they go to."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import kxchange as kx
from fuzz import containers, headers, importers
from fuzz.mutation import mutate_bytes, mutate_json
from kxchange.errors import KxchangeError

Files = dict[str, bytes]
"""A model as files by relative path; the first is opened."""


@dataclass(frozen=True, slots=True)
class Target:
    """One reader under attack.

    Attributes:
        seeds: Sound inputs; made once.
        change: A damaged input from a sound one.
        check: Feeds it to the reader and says what happened; raises if a promise is broken.
        needs: Modules that must be there.
    """

    seeds: Callable[[], list[Files]]
    change: Callable[[Files, random.Random], Files]
    check: Callable[[Files, Path], str]
    needs: tuple[str, ...] = ()


def put(files: Files, folder: Path) -> Path:
    """Write the files; the path of the first."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / next(iter(files))


def load(files: Files, folder: Path) -> str:
    """Open; every refusal is an error of kxchange. What loads must be able to print itself and give its weights."""
    try:
        model = kx.load(put(files, folder))
        for entry in model.parameters.values():
            _ = entry.array.dtype
        repr(model)
    except KxchangeError as error:
        # Not a refusal that a reader thought of: typed all the same, and worth a look.
        return f"caught {_place(error.__cause__)}" if "please report it" in str(error) else "refused"
    return "loaded"


def _place(error: BaseException | None) -> str:
    """Where an error arose: its type, file and line."""
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1] if error is not None else None
    return f"{type(error).__name__} {Path(frame.filename).name}:{frame.lineno}" if frame else "?"


def load_and_save(files: Files, folder: Path) -> str:
    """As `load`; what loads as a `.kx` is also saved and opened again, and is the same."""
    if (outcome := load(files, folder)) != "loaded":
        return outcome
    model = kx.load(folder / next(iter(files)))
    kx.save(model, folder / "first.kx")
    kx.save(kx.load(folder / "first.kx"), folder / "second.kx")
    assert (folder / "first.kx").read_bytes() == (folder / "second.kx").read_bytes(), "saving again gives other bytes"
    return "loaded"


def first(limit: int | None = None) -> Callable[[Files, random.Random], Files]:
    """Changes bytes of one of the files."""

    def change(files: Files, rng: random.Random) -> Files:
        name = rng.choice(list(files))
        return {**files, name: mutate_bytes(files[name], rng, limit)}

    return change


# --- .kx


@cache
def models() -> list[Any]:
    """Small models of every feature of the document."""
    from fuzz.models import every_feature

    return list(every_feature().values())


def kx_files(folder: Path, **options: Any) -> list[Files]:
    found: list[Files] = []
    for number, model in enumerate(models()):
        place = folder / str(number)
        place.mkdir()
        written = kx.save(model, place / "net.kx", **options)
        found.append({path.name: path.read_bytes() for path in written})
    return found


def in_folder(make: Callable[[Path], list[Files]]) -> Callable[[], list[Files]]:
    """Seeds that need a folder to be made in."""

    def seeds() -> list[Files]:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            return make(Path(folder))

    return seeds


def change_document(files: Files, rng: random.Random) -> Files:
    """The document of a single file, changed as a tree and spelled canonically."""
    from hostile.honest_files import read_header, spell, write_header

    name = next(iter(files))
    table, data = read_header(files[name])
    document = mutate_json(json.loads(table["__metadata__"]["kx"]), rng)
    table["__metadata__"]["kx"] = spell(document).encode("utf-8", "replace").decode()
    return {name: write_header(table, data)}


def change_index(files: Files, rng: random.Random) -> Files:
    """The index changed as a tree, or the bytes of any file."""
    from hostile.honest_files import spell

    name = next(iter(files))
    try:
        tree = json.loads(files[name])
    except ValueError:
        tree = None
    if tree is None or rng.random() < 0.3:
        return first(8000)(files, rng)
    return {**files, name: spell(mutate_json(tree, rng)).encode("utf-8", "replace")}


def opened(check: Callable[[Files, Path], str]) -> Callable[[Files, Path], str]:
    """Writes the files and hands the path of the first to `check`."""
    return lambda files, folder: check(files, put(files, folder))


def check_container(files: Files, folder: Path) -> str:
    return containers.compare(files["net.safetensors"])


# --- others


def written(suffix: str, names: tuple[str, ...]) -> Callable[[], list[Files]]:
    """What kxchange's own writers make of the models."""

    def make(folder: Path) -> list[Files]:
        from fuzz.models import every_feature

        found: list[Files] = []
        for number, model in enumerate(every_feature()[name] for name in names):
            path = kx.save(model, folder / f"net{number}{suffix}")[0]
            found.append({path.name: path.read_bytes()})
        return found

    return in_folder(make)


def change_archive(files: Files, rng: random.Random) -> Files:
    """Members of a zip archive changed: JSON as a tree, others as bytes; now and then the archive itself."""
    (name, data), *_ = files.items()
    if not data.startswith(b"PK") or rng.random() < 0.15:
        return {name: mutate_bytes(data, rng)}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {entry: archive.read(entry) for entry in archive.namelist()}
    except Exception:  # a change before this one damaged it; zipfile and zlib raise what they like
        return {name: mutate_bytes(data, rng)}
    if not members:
        return {name: mutate_bytes(data, rng)}
    entry = rng.choice([m for m in members if m.endswith((".json", ".h5", ".pkl", ".npy"))] or list(members))
    if entry.endswith(".json"):
        members[entry] = json.dumps(mutate_json(_json(members[entry]), rng)).encode()
    else:
        members[entry] = mutate_bytes(members[entry], rng)
    return {name: importers.rezipped(members)}


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return {}


def torch_seeds(folder: Path) -> list[Files]:
    from hostile.torch_cases import honest

    path = honest(folder)
    return [{path.name: path.read_bytes()}]


def graph_seeds(folder: Path) -> list[Files]:
    from hostile import tensorflow_cases as cases

    found = [cases.honest(folder)]
    calling = cases.graph(cases.X, cases.calling("PartitionedCall"), cases.function("inner", output="a"))
    (folder / "other").mkdir()
    found.append(calling(folder / "other"))
    return [{path.name: path.read_bytes()} for path in found]


def saved_model_seeds(folder: Path) -> list[Files]:
    from hostile import tensorflow_cases as cases

    place = cases.saved(cases.X + cases.node("y", "Relu", "x", attrs=cases.FLOAT))(folder)
    return [{"saved_model.pb": (place / "saved_model.pb").read_bytes()}]


TARGETS: dict[str, Target] = {
    "container": Target(
        lambda: [{"net.safetensors": b""}],
        lambda _, rng: {"net.safetensors": containers.container(rng)},
        check_container,
    ),
    "header": Target(headers.seeds, headers.change, headers.check),
    "document": Target(in_folder(kx_files), change_document, load_and_save),
    "index": Target(in_folder(lambda folder: kx_files(folder, max_shard_size=70)), change_index, load),
    "kx bytes": Target(in_folder(kx_files), first(6000), load),
    "onnx": Target(written(".onnx", ("aliases", "control flow", "dims", "attributes")), first(), load, ("onnx",)),
    "tflite": Target(written(".tflite", ("aliases", "attributes")), first(4000), load, ("tensorflow",)),
    "pt2": Target(in_folder(torch_seeds), change_archive, load, ("torch",)),
    "keras": Target(in_folder(importers.new_keras_seeds), change_archive, load, ("h5py",)),
    "h5": Target(in_folder(importers.old_keras_seeds), first(), load, ("h5py",)),
    "torch": Target(in_folder(importers.torch_seeds), change_archive, opened(importers.weights), ("torch",)),
    "jax export": Target(in_folder(importers.jax_seeds), first(), load, ("jax",)),
    "msgpack": Target(in_folder(importers.msgpack_seeds), first(), opened(importers.weights), ("flax", "msgpack")),
    "safetensors": Target(in_folder(importers.hub_seeds), change_index, opened(importers.weights)),
    "npz": Target(in_folder(importers.npz_seeds), change_archive, opened(importers.arrays)),
    "graphdef": Target(in_folder(graph_seeds), first(), load),
    "savedmodel": Target(in_folder(saved_model_seeds), first(), load),
}
