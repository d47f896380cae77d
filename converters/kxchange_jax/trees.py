"""Names with dots and the nested dicts that they are the paths of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Path = tuple[str, ...]


def paths(names: Iterable[str]) -> dict[str, Path]:
    """The path of each name in one tree: its parts between dots.

    A name that is also the beginning of others (``a`` beside ``a.b``) ends in an empty key, because one place of a dict
    cannot hold both.
    """
    known = list(names)
    inner = {tuple(parts[:length]) for parts in (name.split(".") for name in known) for length in range(1, len(parts))}
    found: dict[str, Path] = {}
    for name in known:
        path = tuple(name.split("."))
        found[name] = (*path, "") if path in inner else path
    return found


def nest(leaves: Mapping[Path, Any]) -> dict[str, Any]:
    """Nested dicts with these leaves."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        place = tree
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = leaf
    return tree


def find(tree: Any, path: Path) -> Any:
    """The leaf at a path, or None; lists are taken by position."""
    for key in path:
        if isinstance(tree, Mapping):
            tree = tree.get(key)
        elif isinstance(tree, Sequence) and not isinstance(tree, str) and key.isdigit() and int(key) < len(tree):
            tree = tree[int(key)]
        else:
            return None
    return tree


def leaves_of(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Path and value of every leaf of nested dicts, lists and tuples."""
    if isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from leaves_of(item, (*path, str(key)))
    elif isinstance(tree, list | tuple):
        for index, item in enumerate(tree):
            yield from leaves_of(item, (*path, str(index)))
    else:
        yield path, tree
