"""Which models there are: given on the command line, or found in a folder of `name/version/model.onnx`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kxchange.errors import FormatError, InputError, KxchangeError
from kxchange.serving.errors import BadRequestError, NotFoundError, NotReadyError
from kxchange.serving.prepared import GRAPH, RECORD, SERVED, Prepared, prepare
from kxchange.serving.served import Options, ServedModel

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
VERSION = re.compile(r"[1-9][0-9]{0,17}|0")
CONFIG = "config.pbtxt"
FILES = (GRAPH, SERVED)
"""What a version folder may hold; the last counts where both are there."""


@dataclass(slots=True)
class Entry:
    """One model version: where it is, and what it is once loaded.

    Attributes:
        state: READY, LOADING or UNAVAILABLE.
        reason: Why it is not ready, in the log's words.
    """

    name: str
    version: str
    source: Path
    config: Path | None = None
    state: str = "UNAVAILABLE"
    reason: str = "not loaded"
    served: ServedModel | None = None


@dataclass(slots=True)
class Repository:
    """All models of a server, by name and version."""

    options: Options
    entries: dict[str, dict[str, Entry]] = field(default_factory=dict[str, dict[str, Entry]])

    def add(self, entry: Entry) -> None:
        """Announce a version.

        Raises:
            InputError: The name is not one for an address, or is there already.
        """
        if not NAME.fullmatch(entry.name):
            raise InputError(
                f"{entry.name!r} cannot be the name of a served model: use letters, digits, '.', '_' and '-'. "
                "Give another with NAME=PATH."
            )
        versions = self.entries.get(entry.name, {})
        if entry.version in versions:
            raise InputError(f"two models are called {entry.name!r} version {entry.version}. Name one with NAME=PATH.")
        # Oldest first, once: every request looks here.
        together = {**versions, entry.version: entry}
        self.entries[entry.name] = dict(sorted(together.items(), key=lambda item: int(item[0])))

    def all(self) -> list[Entry]:
        """Every version of every model."""
        return [entry for versions in self.entries.values() for entry in versions.values()]

    def versions(self, name: str) -> dict[str, Entry]:
        """The versions of a model, oldest first.

        Raises:
            NotFoundError: There is no such model.
        """
        if name not in self.entries:
            raise NotFoundError(f"there is no model {name[:100]!r}.")
        return self.entries[name]

    def find(self, name: str, version: str = "") -> Entry:
        """A version; the latest that is ready, or the latest, where none is named.

        Raises:
            NotFoundError: There is none.
        """
        versions = self.versions(name)
        if version:
            if version not in versions:
                raise NotFoundError(f"model {name!r} has no version {version[:20]!r}; it has {', '.join(versions)}.")
            return versions[version]
        for entry in reversed(versions.values()):
            if entry.served is not None:
                return entry
        return next(reversed(versions.values()))

    def served(self, name: str, version: str = "") -> ServedModel:
        """The loaded model.

        Raises:
            NotFoundError: There is none.
            NotReadyError: It is not loaded.
        """
        found = self.find(name, version).served
        if found is None:
            raise NotReadyError(f"model {name!r} is not ready.")
        return found

    @property
    def ready(self) -> bool:
        """Whether every model that was asked for is loaded and proven."""
        return all(entry.state == "READY" or entry.reason == "unloaded" for entry in self.all())

    def load(self, entry: Entry) -> None:
        """Prepare, compile and prove one version; blocks. The old one answers until the new one is ready.

        Raises:
            KxchangeError: It cannot be served; the entry says so too.
        """
        entry.state = "LOADING"
        try:
            options, files = self.configured(entry), self.files(entry)
            loaded = ServedModel.load(entry.name, entry.version, files, options)
        except KxchangeError as error:
            entry.state = "READY" if entry.served is not None else "UNAVAILABLE"
            entry.reason = str(error)
            raise
        old, entry.served = entry.served, loaded
        entry.state, entry.reason = "READY", ""
        if old is not None:
            old.close()

    def configured(self, entry: Entry) -> Options:
        """The options with what the model's own configuration says."""
        if entry.config is None:
            return self.options
        from kxchange.serving.triton_config import apply_config, read_config

        return apply_config(read_config(entry.config), self.options, entry.name)

    def files(self, entry: Entry) -> Prepared:
        """What to serve a version from; a record in its folder says what its bytes must be."""
        record = entry.source.with_name(RECORD)
        if entry.source.name != SERVED or not record.is_file():
            return prepare(entry.source)
        try:
            recorded: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
            digest = str(recorded["sha256"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError(f"{record} is damaged: {error}. Write the repository again.") from error
        graph = entry.source.with_name(GRAPH)
        return Prepared(graph if graph.is_file() else prepare(entry.source).kx, entry.source, digest)

    def unload(self, name: str) -> None:
        """Forget the loaded versions of a model."""
        for entry in self.versions(name).values():
            served, entry.served = entry.served, None
            entry.state, entry.reason = "UNAVAILABLE", "unloaded"
            if served is not None:
                served.close()

    def index(self, *, ready_only: bool = False) -> list[dict[str, str]]:
        """As in the protocol's repository extension."""
        return [
            {"name": e.name, "version": e.version, "state": e.state, "reason": "" if e.state == "READY" else e.reason}
            for e in self.all()
            if not ready_only or e.state == "READY"
        ]


def checked_version(version: str) -> str:
    """A version from an address.

    Raises:
        BadRequestError: It is not a number.
    """
    if version and not VERSION.fullmatch(version):
        raise BadRequestError("a version is a number.")
    return version


def find_models(sources: Sequence[str], options: Options) -> Repository:
    """The repository of the sources of a command line: files, `NAME=PATH`, and folders of models.

    Raises:
        InputError: A path does not exist, holds no model, or two have one name.
    """
    repository = Repository(options)
    for source in sources:
        name, path = named(source)
        for entry in folder_entries(path, name) or [Entry(name or path.name.split(".")[0], "1", path)]:
            repository.add(entry)
    return repository


def named(source: str) -> tuple[str, Path]:
    """Name, if one is given, and path."""
    name, equals, rest = source.partition("=")
    if equals and not Path(source).exists():
        return name, Path(rest)
    if not Path(source).exists():
        raise InputError(f"there is no file or folder {source!r}. Check the path.")
    return "", Path(source)


def folder_entries(path: Path, name: str) -> list[Entry]:
    """The versions in a model's folder or in a repository of such; none if the path is a model itself."""
    if not path.is_dir():
        return []
    if own := version_entries(path, name or path.name):
        return own
    if name:
        return []
    folders = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and not folder.is_symlink()]
    return [entry for folder in folders for entry in version_entries(folder, folder.name)]


def version_entries(folder: Path, name: str) -> list[Entry]:
    """The versions in one model's folder."""
    config = folder / CONFIG
    found: list[Entry] = []
    for version in sorted(folder.iterdir()):
        if not VERSION.fullmatch(version.name) or not version.is_dir():
            continue
        # In a folder that holds both, the ONNX file is served and the other is its proof.
        for file in reversed(FILES):
            if (version / file).is_file():
                found.append(Entry(name, version.name, version / file, config if config.is_file() else None))
                break
    return found
