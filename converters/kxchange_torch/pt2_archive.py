"""The members of a `.pt2` archive: checked, mapped and never unpickled."""

from __future__ import annotations

import json
import mmap
import stat
import struct
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from kxchange.errors import FormatError, LimitError

MAX_MEMBERS = 200_000
MAX_JSON = 2**28
"""Bytes of one JSON member."""
MAX_JSON_STRUCTURE = 40_000_000
"""`[`, `{` and `,` in one JSON member, counted before it is parsed."""
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
EXECUTABLE = (".so", ".cpp", ".cubin", ".o", ".pyd", ".dll", ".dylib")


class Pt2Archive:
    """An archive as torch writes it: members stored as they are, below one folder, mapped into memory.

    Compressed members are refused, so no member can be larger than the file.

    Attributes:
        path: The file.
        memory: Its bytes, private to this process.
        members: Offset and length of each member, by name without the folder.
    """

    def __init__(self, path: Path, *, skip_compressed: bool = False) -> None:
        """Map `path` and check its directory.

        Args:
            path: The file.
            skip_compressed: Leave compressed members out instead of refusing the file.

        Raises:
            FormatError: It is no such archive, or an entry is encrypted, doubled, a link, compressed, compiled code, a
                pickled object, overlaps another one or leaves the archive's folder.
            LimitError: It has too many entries.
        """
        self.path = path
        self.skip_compressed = skip_compressed
        try:
            with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
                entries = archive.infolist()
                self.memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise FormatError(f"{path.name} cannot be read as a zip archive: {error}. Save it again.") from None
        if len(entries) > MAX_MEMBERS:
            raise LimitError(f"{path.name} has {len(entries):,} members, above the limit of {MAX_MEMBERS:,}.")
        self.members: dict[str, tuple[int, int]] = {}
        root = entries[0].filename.partition("/")[0] + "/" if entries else ""
        for entry in entries:
            self._add(entry, root)
        self._require_apart()

    def json(self, name: str) -> Any:
        """A JSON member.

        Raises:
            FormatError: There is none of that name, or it is no JSON object.
            LimitError: It is too large.
        """
        data = self.bytes(name)
        structure = sum(map(data.count, (b"[", b"{", b",")))
        if len(data) > MAX_JSON or structure > MAX_JSON_STRUCTURE:
            raise LimitError(f"{self.path.name}: {name} is larger than any program is ({len(data):,} bytes).")
        try:
            found = json.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{self.path.name}: {name} is no JSON: {error}.") from None
        if not isinstance(found, dict):
            raise FormatError(f"{self.path.name}: {name} is no JSON object.")
        return found

    def bytes(self, name: str) -> bytes:
        """The bytes of a member."""
        offset, length = self.place(name)
        return self.memory[offset : offset + length]

    def place(self, name: str) -> tuple[int, int]:
        """Offset and length of a member in the file.

        Raises:
            FormatError: There is no such member.
        """
        if name not in self.members:
            raise FormatError(f"{self.path.name} has no member {name!r}; it is incomplete or no exported program.")
        return self.members[name]

    def _add(self, entry: zipfile.ZipInfo, root: str) -> None:
        name, file = entry.filename, self.path.name
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or ".." in parts or parts[0].startswith("/") or ":" in parts[0] or "\0" in name:
            raise FormatError(f"{file}: the member {name!r} would leave the archive's folder.")
        if entry.flag_bits & 0x1:
            raise FormatError(f"{file}: the member {name!r} is encrypted.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise FormatError(f"{file}: the member {name!r} is a link.")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            if self.skip_compressed:
                return
            raise FormatError(f"{file}: the member {name!r} is compressed, which torch never does.")
        short = name.removeprefix(root)
        if short in self.members:
            raise FormatError(f"{file} has two members called {name!r}.")
        self._refuse_code(short)
        self.members[short] = self._data(entry), entry.file_size

    def _refuse_code(self, name: str) -> None:
        last = name.rpartition("/")[2]
        if last.endswith(EXECUTABLE) or "aotinductor/" in name:
            raise FormatError(f"{self.path.name}: the member {name!r} is compiled code, which kxchange never runs.")
        if last.startswith(("custom_obj_", "opaque_obj_")):
            raise FormatError(f"{self.path.name}: the member {name!r} is a pickled object, which kxchange never reads.")

    def _data(self, entry: zipfile.ZipInfo) -> int:
        """Where a member's bytes start; its own header must name it as the directory does."""
        start = entry.header_offset
        if start < 0 or start + LOCAL_HEADER.size > len(self.memory):
            raise FormatError(f"{self.path.name}: the member {entry.filename!r} lies outside the file.")
        magic, *_, name_length, extra_length = LOCAL_HEADER.unpack_from(self.memory, start)
        begin = start + LOCAL_HEADER.size
        if magic != b"PK\x03\x04" or self.memory[begin : begin + name_length] != entry.orig_filename.encode():
            raise FormatError(f"{self.path.name}: the member {entry.filename!r} has another name in its own header.")
        begin += name_length + extra_length
        if begin + entry.file_size > len(self.memory):
            raise FormatError(f"{self.path.name}: the member {entry.filename!r} is cut off. Download it again.")
        return begin

    def _require_apart(self) -> None:
        end = 0
        for name, (offset, length) in sorted(self.members.items(), key=lambda item: item[1]):
            if offset < end:
                raise FormatError(f"{self.path.name}: the member {name!r} overlaps another one.")
            end = offset + length
