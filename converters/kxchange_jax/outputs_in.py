"""Names of a model's outputs, and the tree in which its source returns them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from kxchange_jax.private import key_text

Path = tuple[Any, ...]


def name_outputs(tree: Any) -> list[tuple[Path, str, bool]]:
    """Path and name of every leaf of an output tree, and whether it is an array (None is not).

    Keys and fields are joined by dots; ``output_0`` and so on where the source has positions only.
    """
    flat = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda leaf: leaf is None)[0]
    paths = [(tuple(map(_step, path)), leaf is not None) for path, leaf in flat]
    return [(path, _name(path), array) for path, array in paths]


def _step(key: Any) -> Any:
    return key.idx if hasattr(key, "idx") else key_text(key)


def _name(path: Path) -> str:
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
