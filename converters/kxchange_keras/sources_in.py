"""The line of the user's code that is running."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType

from kxchange.graph import Source

FRAMEWORKS = ("keras", "kxchange", "kxchange_keras", "tensorflow", "jax", "jaxlib", "torch", "numpy", "optree")
"""Packages whose frames are not the user's."""


@cache
def is_user(file: str) -> bool:
    """Whether a file belongs to none of the frameworks."""
    if file.startswith("<"):
        return False
    return not any(
        Path(file).is_relative_to(folder)
        for package in FRAMEWORKS
        for folder in getattr(sys.modules.get(package), "__path__", ())
    )


@cache
def relative_file(file: str) -> str:
    """A file's path from the folder that holds its top package; only its name for a script."""
    path = Path(file)
    if "site-packages" in path.parts:
        return "/".join(path.parts[path.parts.index("site-packages") + 1 :])
    top = path.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    return path.relative_to(top).as_posix() if path.is_absolute() else path.name


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
    found = ""
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if is_user(file):
            found = f"{relative_file(file)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found
