"""Zip archives read member by member, in memory: nothing is unpacked, and what looks like a trick is refused."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath
from types import TracebackType

from kxchange.errors import FormatError, LimitError

MAX_MEMBERS = 10_000
MAX_TEXT = 2**28
"""Bytes of a JSON member."""
MAX_EXPANSION = 200
"""How many times its stored size a member may grow ..."""
EXPANSION_FLOOR = 2**24
"""... once it is larger than this."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive:
    """The members of a zip file, checked before one is read."""

    def __init__(self, path: Path) -> None:
        """Open `path` and check every entry of its directory.

        Raises:
            FormatError: It is no zip file, or an entry is encrypted, doubled, a link, or leaves the archive's folder.
            LimitError: It has too many entries, or one that grows too much.
        """
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise FormatError(
                f"{path.name} cannot be read as a zip archive: {error}. Download or save it again."
            ) from None
        try:
            self._entries = self._checked()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the members, in order."""
        return tuple(self._entries)

    def read(self, name: str, limit: int | None = None) -> bytes:
        """The bytes of a member.

        Raises:
            FormatError: There is no such member, or it is damaged.
            LimitError: It is longer than `limit`.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise FormatError(f"{self.path.name} has no member {name!r}; it has {', '.join(self.names[:8]) or 'none'}.")
        if limit is not None and entry.file_size > limit:
            raise LimitError(f"{self.path.name}: {name} has {entry.file_size:,} bytes, above the limit of {limit:,}.")
        try:
            with self._zip.open(entry) as stream:
                data = stream.read(entry.file_size + 1)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
            raise FormatError(f"{self.path.name}: {name} is damaged: {error}. Download or save it again.") from None
        if len(data) != entry.file_size:
            raise FormatError(f"{self.path.name}: {name} is not as long as the archive says.")
        return data

    def _checked(self) -> dict[str, zipfile.ZipInfo]:
        entries = self._zip.infolist()
        if len(entries) > MAX_MEMBERS:
            raise LimitError(f"{self.path.name} has {len(entries):,} members, above the limit of {MAX_MEMBERS:,}.")
        found: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            self._check(entry)
            if entry.filename in found:
                raise FormatError(f"{self.path.name} has two members called {entry.filename!r}.")
            found[entry.filename] = entry
        return found

    def _check(self, entry: zipfile.ZipInfo) -> None:
        name = entry.filename
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or ".." in parts or parts[0].startswith("/") or ":" in parts[0] or "\0" in name:
            raise FormatError(f"{self.path.name}: the member {name!r} would leave the archive's folder.")
        if entry.flag_bits & 0x1:
            raise FormatError(f"{self.path.name}: the member {name!r} is encrypted.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise FormatError(f"{self.path.name}: the member {name!r} is a link.")
        if entry.compress_type not in METHODS:
            raise FormatError(f"{self.path.name}: the member {name!r} is compressed by an unusual method.")
        if entry.file_size > EXPANSION_FLOOR and entry.file_size > MAX_EXPANSION * max(entry.compress_size, 1):
            raise LimitError(
                f"{self.path.name}: {name} grows from {entry.compress_size:,} to {entry.file_size:,} bytes, more than "
                f"{MAX_EXPANSION} times."
            )
