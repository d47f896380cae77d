"""Names of the outputs that a source returns."""

from __future__ import annotations

from typing import Any

from kxchange.output_tree import Path, path_name
from kxchange_torch.private import structure_with_path


def name_outputs(structure: Any) -> list[tuple[Path, str]]:
    """Path and name of every leaf of an output tree: keys and fields joined by dots, ``output_0`` by position."""
    return [(path, path_name(path)) for path, _ in structure_with_path(structure)]
