"""Names of layers from names of parameters: the stem that the parameters of a layer share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SEPARATORS = {"/": "--", ".": "-"}
"""What stands for characters that some backend does not take in names of layers: PyTorch no points, Keras no slashes,
TensorFlow only letters, digits, ``_`` and ``-``."""


CELLS = ("lstm_cell", "gru_cell", "simple_rnn_cell")
"""Parts of a variable's path in Keras that a recurrent layer adds again."""


class Names:
    """Names that are taken.

    Attributes:
        taken: They.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)

    def layer(self, stem: str) -> str:
        """A free name of a layer for a parameter or a stem."""
        base = spelled(stem)
        name, number = base, 1
        while name in self.taken:
            name, number = f"{base}_{number}", number + 1
        self.taken.add(name)
        return name


def spelled(name: str) -> str:
    """A name that Keras takes for a layer on every backend."""
    for character, replacement in SEPARATORS.items():
        name = name.replace(character, replacement)
    cleaned = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:200]
    return cleaned if re.match(r"[A-Za-z0-9]", cleaned) else f"x{cleaned}"


def stem(parameters: Sequence[str]) -> str:
    """What the names of a layer's parameters share: all but the last part of it."""
    parts = [re.split(r"[./]", name)[:-1] for name in parameters]
    first = parts[0]
    if first and first[-1] in CELLS and len(first) > 1:
        parts = [part[:-1] for part in parts]
        first = parts[0]
    if not first or any(part != first for part in parts[1:]):
        return parameters[0]
    return parameters[0][: len("/".join(first))]
