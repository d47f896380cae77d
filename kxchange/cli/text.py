"""Text from files on a terminal."""

from __future__ import annotations


def plain(text: object) -> str:
    """The text with everything that is not printable escaped: a name must not move the cursor or reverse a line."""
    string = str(text)
    return string if string.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in string)
