"""From any source to two files: the model in our language, and the ONNX file that is served. Converted once, cached.

The conversion runs in a process of its own: what it imports (the source's framework, ONNX) never weighs on the server.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kxchange import __version__
from kxchange.converter import GROUP, converters
from kxchange.errors import BuildError, InputError
from kxchange.format.document import VERSION as FORMAT
from kxchange.format.model_file import identify, is_kx

RECORD = "entry.json"
GRAPH, SERVED = "model.kx", "model.onnx"
"""Names in a cache entry, and in a version folder of a repository."""
SIBLINGS = 10_000
"""Files beside an `.onnx` file that are looked at as its possible external data."""
CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a model is served from.

    Attributes:
        kx: The model in our language: signature, truth of the self-test, evidence.
        onnx: The file that ONNX Runtime opens.
        digest: SHA-256 that `onnx` must have, where it was recorded.
    """

    kx: Path
    onnx: Path
    digest: str | None


def cache_folder() -> Path:
    """``$KXCHANGE_CACHE``, or ``kxchange`` in the user's cache folder."""
    if given := os.environ.get("KXCHANGE_CACHE"):
        return Path(given) / "served"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kxchange" / "served"


def prepare(source: Path) -> Prepared:
    """The files of a source: converted now, or earlier if nothing that matters has changed.

    Raises:
        InputError: There is no such file.
        BuildError: It cannot be converted; the message is the converter's.
    """
    if not source.exists():
        raise InputError(f"there is no file or folder {str(source)!r}. Check the path.")
    folder = cache_folder() / cache_key(source)
    if not (folder / RECORD).is_file():
        convert_apart(source, folder)
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BuildError(f"the cache entry {str(folder)!r} is damaged: {error}. Delete it.") from error
    own = is_file_of_runtime(source)
    kx = source if source.is_file() and is_kx(source) else folder / GRAPH
    return Prepared(kx, source if own else folder / SERVED, None if own else str(record["sha256"]))


def is_file_of_runtime(source: Path) -> bool:
    """Whether the source is itself what the runtime opens."""
    return source.is_file() and source.suffix == ".onnx"


def cache_key(source: Path) -> str:
    """What the conversion depends on: the content, the file format, and whose code converts."""
    content = identify(source) if source.is_file() and is_kx(source) else content_digest(source)
    return hashlib.sha256("\0".join([f"format={FORMAT}", *code_versions(), content]).encode()).hexdigest()[:40]


def code_versions() -> list[str]:
    """Versions of kxchange, of every converter and of what they need, and their own code as it is installed.

    Versions alone would not do: a checkout changes between two of them.
    """
    found = [f"kxchange={__version__}={code_digest('kxchange')}"]
    for entry in metadata.entry_points(group=GROUP):
        owner = f"{entry.dist.name}={entry.dist.version}" if entry.dist else ""
        found.append(f"{entry.name}={entry.value}={owner}={code_digest(entry.module.partition('.')[0])}")
    for record in converters().values():
        found += [f"{name}={version}" for name, version in record.versions().items()]
    return sorted(found)


def code_digest(package: str) -> str:
    """Names, sizes and times of a package's modules."""
    spec = find_spec(package)
    digest = hashlib.sha256()
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).rglob("*.py")):
            state = path.stat()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{state.st_size}\0{state.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def content_digest(source: Path) -> str:
    """SHA-256 over a file and what it names beside it, or over all files of a folder."""
    digest = hashlib.sha256()
    for path in [source, *external_files(source)] if source.is_file() else sorted(source.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(source.parent).as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(bytes.fromhex(file_digest(path)))
    return digest.hexdigest()


def external_files(source: Path) -> list[Path]:
    """The files in an `.onnx` file's folder whose path stands in it: where its weights may be."""
    if source.suffix != ".onnx":
        return []
    content = source.read_bytes()
    found: list[Path] = []
    for number, path in enumerate(sorted(source.parent.rglob("*"))):
        if number >= SIBLINGS:
            break
        if path != source and path.is_file() and path.relative_to(source.parent).as_posix().encode() in content:
            found.append(path)
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def convert_apart(source: Path, folder: Path) -> None:
    """Fill a cache entry from a process of its own.

    Raises:
        BuildError: The conversion was refused or died.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    command = [sys.executable, "-m", "kxchange.serving.prepared", str(source.absolute()), str(temporary)]
    try:
        temporary.mkdir()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildError(done.stderr.strip().removeprefix("kx: ")[-4000:] or f"{source} could not be converted.")
        if not (folder / RECORD).is_file():
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def convert(source: Path, folder: Path) -> None:
    """Write the two files of a source, and the record of what they are, last."""
    from kxchange import hub

    model = hub.load(source)
    if not is_kx(source):
        hub.save(model, folder / GRAPH)
    record = {"sha256": ""}
    if not is_file_of_runtime(source):
        hub.save(model, folder / SERVED)
        record["sha256"] = file_digest(folder / SERVED)
    (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    from kxchange.errors import KxchangeError

    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except KxchangeError as failure:
        sys.exit(f"kx: {failure}")
