"""The line of the user's code that is running."""

from __future__ import annotations

import sys
from types import FrameType, TracebackType

from kxchange.graph import Source
from kxchange.user_code import last_line, lies_in, relative_file

FRAMEWORKS = ("keras", "kxchange", "kxchange_keras", "tensorflow", "jax", "jaxlib", "torch", "numpy", "optree")
"""Packages whose frames are not the user's."""


def is_user(file: str) -> bool:
    """Whether a file belongs to none of the frameworks."""
    return not lies_in(file, FRAMEWORKS)


def _user_frame() -> tuple[str, int]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if is_user(file) and not file.endswith(("/contextlib.py", "/traceback_utils.py")):
            return relative_file(file), frame.f_lineno
        frame = frame.f_back
    return "", 0


def source_of(path: str) -> Source:
    """The running line of the user's code, for a node of the layer at `path`."""
    file, line = _user_frame()
    return Source(file, line, path)


def user_place() -> str:
    """The running line of the user's code, for messages."""
    file, line = _user_frame()
    return f"{file}:{line}" if file else "an unknown line"


def failing_line(traceback: TracebackType | None) -> str:
    """The last line of the user's code on the way to an error."""
    return last_line(traceback, is_user)
