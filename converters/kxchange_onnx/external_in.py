"""Weights in files beside the model: opened only inside the model's own folder, mapped, never copied."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from kxchange.errors import FormatError, LimitError

MAX_OFFSET = 2**62
KEYS = frozenset({"location", "offset", "length", "checksum"})


class Entry(Protocol):
    """One key and value of a tensor's `external_data`."""

    key: str
    value: str


class ExternalFolder:
    """The folder that a model's external tensors may lie in.

    Args:
        folder: Where the model file is; None where the model has no file.
        follow_links: Accept symbolic and hard links (the layout of download caches) in the folder.
    """

    def __init__(self, folder: Path | None, *, follow_links: bool = False) -> None:
        self._folder = folder
        self._follow = follow_links
        self._maps: dict[str, memoryview] = {}

    def read(self, tensor: str, entries: Iterable[Entry], size: int) -> memoryview:
        """The `size` bytes of one tensor.

        Raises:
            FormatError: The place is not inside the folder, not a plain file, or too short.
        """
        fields = _fields(tensor, entries)
        location = fields["location"]
        data = self._map(tensor, location)
        offset = _number(tensor, "offset", fields.get("offset", "0"))
        length = _number(tensor, "length", fields.get("length", str(size)))
        if length != size:
            raise FormatError(f"tensor {tensor!r} takes {size} bytes, and {length} are declared in {location!r}.")
        if offset + size > len(data):
            end = offset + size
            raise FormatError(f"tensor {tensor!r} ends at byte {end} of {location!r}, which has {len(data)}.")
        if "checksum" in fields:
            _check_sum(tensor, location, data, fields["checksum"])
        return data[offset : offset + size]

    def _map(self, tensor: str, location: str) -> memoryview:
        if location not in self._maps:
            if self._folder is None:
                raise FormatError(
                    f"tensor {tensor!r} lies in the file {location!r}, and a model in memory has no folder. "
                    "Load the model from its file."
                )
            self._maps[location] = _mapped(self._open(tensor, location))
        return self._maps[location]

    def _open(self, tensor: str, location: str) -> int:
        """A descriptor of a plain file inside the folder: no step of the path may lead elsewhere."""
        parts = checked_location(tensor, location)
        nofollow = 0 if self._follow else os.O_NOFOLLOW
        directory = os.open(str(self._folder), os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in parts[:-1]:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | nofollow, dir_fd=directory)
                os.close(directory)
                directory = inner
            # Without blocking: a named pipe would wait for a writer.
            file = os.open(parts[-1], os.O_RDONLY | os.O_NONBLOCK | nofollow, dir_fd=directory)
        except OSError as error:
            what = "is missing or a symbolic link" if nofollow else "cannot be opened"
            raise FormatError(f"tensor {tensor!r}: {location!r} {what} ({error.strerror}).") from None
        finally:
            os.close(directory)
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or (status.st_nlink > 1 and not self._follow):
            os.close(file)
            what = "has other hard links" if stat.S_ISREG(status.st_mode) else "is no plain file"
            raise FormatError(f"tensor {tensor!r}: {location!r} {what}. Copy the data, or load with follow_links=True.")
        return file


def checked_location(tensor: str, location: str) -> tuple[str, ...]:
    """The steps of a relative path that stays inside its folder.

    Raises:
        FormatError: It could lead elsewhere.
    """
    parts = tuple(location.removeprefix("./").split("/"))
    suspect = not location or len(location) > 1024 or any(ord(char) < 32 or char in '\\:*?"<>|' for char in location)
    if suspect or any(part in ("", ".", "..") or part[-1] in ". " for part in parts):
        raise FormatError(
            f"tensor {tensor!r} lies in {location[:80]!r}; external data must be a relative path inside the folder "
            "of the model, without '..' or special characters."
        )
    return parts


def _fields(tensor: str, entries: Iterable[Entry]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for entry in entries:
        if entry.key not in KEYS or entry.key in fields:
            what = "appears twice" if entry.key in fields else "is unknown"
            raise FormatError(f"tensor {tensor!r}: the external data key {entry.key[:40]!r} {what}.")
        fields[entry.key] = entry.value
    if "location" not in fields:
        raise FormatError(f"tensor {tensor!r} has external data without a location.")
    return fields


def _number(tensor: str, key: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise FormatError(f"tensor {tensor!r}: the {key} of its external data is {text[:40]!r}, not a byte count.")
    number = int(text)
    if number > MAX_OFFSET:
        raise LimitError(f"tensor {tensor!r}: the {key} of its external data, {number}, is beyond {MAX_OFFSET}.")
    return number


def _check_sum(tensor: str, location: str, data: memoryview, wanted: str) -> None:
    if hashlib.sha1(data, usedforsecurity=False).hexdigest() != wanted.lower():
        raise FormatError(f"tensor {tensor!r}: the file {location!r} does not have the checksum that the model states.")


def _mapped(file: int) -> memoryview:
    try:
        if os.fstat(file).st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(file)
