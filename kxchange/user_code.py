"""Lines of the user's code: which files are the user's, and what messages call them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType


@cache
def lies_in(file: str, packages: tuple[str, ...]) -> bool:
    """Whether a file is no file at all or belongs to an imported package; the user's folder may be called like one."""
    if file.startswith("<"):
        return True
    folders = (folder for package in packages for folder in getattr(sys.modules.get(package), "__path__", ()))
    return any(Path(file).is_relative_to(folder) for folder in folders)


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


def last_line(trace: TracebackType | None, is_user: Callable[[str], bool]) -> str:
    """File and line of the last frame of the user's code that an error came through; empty without one."""
    found = ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        found = f"{relative_file(file)}:{trace.tb_lineno}" if is_user(file) else found
        trace = trace.tb_next
    return found
