"""Where a node comes from: the last frame of the user's code and the module it ran in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from kxchange.graph import Source
from kxchange.user_code import relative_file

_FRAME = re.compile(r'File "(.+?)", line (\d+)')
_TORCH = str(Path(torch.__file__).parent) + os.sep
_OURS = str(Path(__file__).parent) + os.sep


@cache
def is_framework(file: str) -> bool:
    """Whether a file belongs to torch, to this converter or to no file at all."""
    inside = file.startswith((_TORCH, _OURS, "torch/", "<frozen", "<eval_with_key"))
    return inside or "/site-packages/torch/" in file or file.endswith(("/contextlib.py", "/functools.py"))


@cache
def user_frame(stack_trace: str) -> tuple[str, int]:
    """File and line of the innermost frame outside torch; ``("", 0)`` where there is none."""
    for file, line in reversed(_FRAME.findall(stack_trace)):
        if not is_framework(file):
            return relative_file(file), int(line)
    return "", 0


def module_path(stack: Mapping[str, Any] | None) -> str:
    """Dotted path of the innermost module of an `nn_module_stack`."""
    if not stack:
        return ""
    path: str = list(stack.values())[-1][0]
    return "" if path.startswith("_empty_nn_module_stack") else path.split("@", 1)[0]


class Sources:
    """Interned sources and node names of one capture."""

    def __init__(self) -> None:
        self._sources: dict[tuple[str, int, str], Source] = {}
        self._counts: dict[str, int] = {}

    def source(self, meta: Mapping[str, Any]) -> Source:
        """The source of an fx node, by its metadata."""
        file, line = user_frame(meta.get("stack_trace") or "")
        key = file, line, module_path(meta.get("nn_module_stack"))
        found = self._sources.get(key)
        if found is None:
            found = self._sources[key] = Source(*key)
        return found

    def name(self, path: str, op: str) -> str:
        """A name not given before: module path and operator, numbered from the second on."""
        stem = f"{path}.{op}" if path else op
        count = self._counts.get(stem, 0)
        self._counts[stem] = count + 1
        return f"{stem}_{count}" if count else stem
