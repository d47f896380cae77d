"""Names of the outputs that a source returns."""

from __future__ import annotations

from typing import Any

import jax

from kxchange.output_tree import Path, path_name
from kxchange_jax.private import key_text


def name_outputs(tree: Any) -> list[tuple[Path, str, bool]]:
    """Path and name of every leaf of an output tree, and whether it is an array (None is not).

    Keys and fields are joined by dots; ``output_0`` and so on where the source has positions only.
    """
    flat = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda leaf: leaf is None)[0]
    paths = [(tuple(map(_step, path)), leaf is not None) for path, leaf in flat]
    return [(path, path_name(path), array) for path, array in paths]


def _step(key: Any) -> Any:
    return key.idx if hasattr(key, "idx") else key_text(key)
