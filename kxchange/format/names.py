"""Which names of tensors are allowed, and how text from a file is shown."""

from __future__ import annotations

import os
import re
import unicodedata

from kxchange.errors import FormatError
from kxchange.format.limits import MAX_NAME_BYTES, check_limit

METADATA_KEY = "__metadata__"
RESERVED_PREFIX = "__kx__"

# Controls, line and paragraph separators, bidirectional marks and overrides, surrogates, byte order mark.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_SHOWN = 80


def shown(value: object) -> str:
    """An escaped and shortened form: text from a file never reaches a terminal as it is."""
    text = value if isinstance(value, str) else repr(value)
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path for a message: as it is where it can be printed, else escaped."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)


def check_name(name: str, what: str, *, normalized: bool = True) -> None:
    """Refuse a name that cannot be told from another, cannot be shown, or is reserved.

    Args:
        name: The name.
        what: Subject of the message, such as `"net.kx: tensor name"`.
        normalized: Also require Unicode normal form C.

    Raises:
        FormatError: Empty, reserved, not NFC, or with a control, surrogate or bidirectional character.
        LimitError: Above 512 bytes of UTF-8.
    """
    if not name:
        raise FormatError(f"{what} is empty.")
    if name == METADATA_KEY or name.startswith(RESERVED_PREFIX):
        raise FormatError(f"{what} {shown(name)} is reserved.")
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > MAX_NAME_BYTES:
        check_limit(size, MAX_NAME_BYTES, f"{what} {shown(name)}: bytes")
    forbidden = _FORBIDDEN.search(name)
    if forbidden:
        raise FormatError(f"{what} {shown(name)} has the character U+{ord(forbidden[0]):04X}, which is not allowed.")
    if normalized and not unicodedata.is_normalized("NFC", name):
        raise FormatError(f"{what} {shown(name)} is not in Unicode normal form C.")
