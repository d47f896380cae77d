"""The tree in which a model's source returns its outputs, as `Function.structure` holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Path = tuple[Any, ...]
"""Keys, fields (as text) and positions (as numbers) from the root of an output tree to a leaf."""


def path_name(path: Path) -> str:
    """Keys and fields joined by dots; ``output_0`` and so on where the source has positions only."""
    if not path:
        return "output_0"
    first = f"output_{path[0]}" if isinstance(path[0], int) else str(path[0])
    return ".".join((first, *map(str, path[1:])))


def output_tree(leaves: Sequence[tuple[Path, dict[str, Any]]]) -> Any:
    """Nested dicts and lists with these leaves; None for a single output, which needs no description."""
    if len(leaves) == 1 and "output" in leaves[0][1] and all(isinstance(step, int) for step in leaves[0][0]):
        return None
    return _nest(leaves)


def _nest(leaves: Sequence[tuple[Path, dict[str, Any]]]) -> Any:
    if len(leaves) == 1 and not leaves[0][0]:
        return leaves[0][1]
    groups: dict[Any, list[tuple[Path, dict[str, Any]]]] = {}
    for path, leaf in leaves:
        groups.setdefault(path[0], []).append((path[1:], leaf))
    if all(isinstance(key, int) for key in groups):
        return [_nest(groups[key]) for key in sorted(groups)]
    return {str(key): _nest(group) for key, group in groups.items()}
