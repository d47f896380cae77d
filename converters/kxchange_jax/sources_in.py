"""Where a node comes from: the last frame of the user's code, and the module path it ran in."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from kxchange.graph import Source, Value
from kxchange.user_code import last_line, lies_in, relative_file
from kxchange_jax.private import name_stack, user_place

FRAMEWORKS = ("jax", "jaxlib", "flax", "equinox", "haiku", "optax", "kxchange", "kxchange_jax")
"""Packages whose frames are not the user's."""
_WRAPPED = re.compile(r"\w+\((.*)\)")


def is_user(file: str) -> bool:
    """Whether a file belongs to none of the frameworks."""
    return not lies_in(file, FRAMEWORKS)


def place_of(error: BaseException) -> str:
    """File and line of the last frame of the user's code that an error came through; empty without one."""
    return last_line(error.__traceback__, is_user)


@cache
def module_path(stack: str, root: str) -> str:
    """The dotted path in a name stack, without transformations around it and without the root module's class."""
    parts = [_WRAPPED.sub(r"\1", part) for part in stack.split("/") if not part.startswith("jit(")]
    kept = [part for part in parts if part.isidentifier()]  # scopes of einsum are equations
    return ".".join(kept[1:] if kept[:1] == [root] else kept)


class Sources:
    """Interned sources and node names of one capture.

    Args:
        root: Class name of the captured module, which Linen puts in front of every path.
    """

    def __init__(self, root: str = "") -> None:
        self._root = root
        self._sources: dict[tuple[str, int, str], Source] = {}
        self._counts: dict[str, int] = {}

    def source(self, eqn: Any, outer: Source | None, operands: list[Any]) -> Source:
        """The source of an equation; what it does not say itself is that of the call around it."""
        file, line = user_place(eqn, is_user)
        file = relative_file(file) if file else ""
        if not file and outer is not None:
            file, line = outer.file, outer.line
        path = module_path(name_stack(eqn), self._root) or (outer.path if outer else "") or _parameter_path(operands)
        key = file, line, path
        if key not in self._sources:
            self._sources[key] = Source(*key)
        return self._sources[key]

    def name(self, path: str, op: str) -> str:
        """A name not given before: module path and primitive, numbered from the second on."""
        stem = f"{path}.{op}" if path else op
        count = self._counts.get(stem, 0)
        self._counts[stem] = count + 1
        return f"{stem}_{count}" if count else stem


def _parameter_path(operands: list[Any]) -> str:
    """The module of a parameter among the operands: NNX and Equinox leave no other trace of where they are."""
    for operand in operands:
        if isinstance(operand, Value) and operand.node.op == "parameter":
            return str(operand.node.attrs["name"]).rpartition(".")[0]
    return ""
