"""Parameters, buffers and constants of a captured object, under the paths of its tree and in its order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from kxchange.errors import CaptureError
from kxchange.model import Array, Parameter, Role
from kxchange.types import DType

PREFIX = "constant"
"""Of the names of closed-over arrays, which have none."""


class ParameterTable:
    """Every named array of the source, tied ones by their first name.

    Attributes:
        entries: Records of the model, in source order.
        constants: Names of the closed-over arrays among them.
    """

    def __init__(self, entries: Iterable[tuple[str, Any, Role]] = ()) -> None:
        self.entries: dict[str, Parameter] = {}
        self.constants: list[str] = []
        self._first: dict[int, str] = {}
        self._kept: list[Any] = []
        for name, array, role in entries:
            self.add(name, array, role)

    def add(self, name: str, value: Any, role: Role) -> Parameter:
        """Add one array; another name of a known parameter becomes its alias.

        What is no parameter may be written, each by itself, though all begin as one array of zeros: it is not tied.
        """
        if name in self.entries:
            raise CaptureError(f"two parameters would be called {name!r}. Rename one of the keys in its path.")
        array = np.asarray(value)
        first = self._first.setdefault(id(value), name)
        if role is not Role.PARAMETER or first not in self.entries or self.entries[first].role is not role:
            first = name
        self._kept.append(value)  # an id is one object's for as long as that lives
        trained = role is Role.PARAMETER and (DType.of(array.dtype).is_floating or DType.of(array.dtype).is_complex)
        entry = Parameter(name, array, role=role, trainable=trained, alias_of=None if first == name else first)
        self.entries[name] = entry
        return entry

    def adopt(self, entry: Parameter) -> None:
        """Take over a record that is known already."""
        self.entries[entry.name] = entry

    def canonical(self, name: str) -> Parameter:
        """The record that holds the data of `name`."""
        entry = self.entries[name]
        return self.entries[entry.alias_of] if entry.alias_of else entry

    def named(self, value: Any, array: Array) -> Parameter | None:
        """The record of an array that is a parameter or a constant seen before, by identity.

        Raises:
            CaptureError: It is not one, but has a parameter's values.
        """
        if id(value) in self._first and array.ndim:
            return self.entries[self._first[id(value)]]
        self._require_not_baked(array)
        return None

    def add_constant(self, value: Any, array: Array) -> Parameter:
        """Keep a closed-over array under a name of its own."""
        number = len(self.constants)
        while f"{PREFIX}_{number}" in self.entries:
            number += 1
        entry = self.add(f"{PREFIX}_{number}", array, Role.CONSTANT)
        self._first[id(value)] = entry.name
        self._kept.append(value)
        self.constants.append(entry.name)
        return entry

    def _require_not_baked(self, array: Array) -> None:
        """Refuse a constant that is a parameter's values: a weight that was closed over is lost to training.

        Raises:
            CaptureError: An array has the bytes of a parameter.
        """
        if array.size < 2 or (array == array.reshape(-1)[:1]).all():
            return  # a number or a fill says nothing about where it comes from
        for entry in self.entries.values():
            same = entry.role is Role.PARAMETER and entry.type.shape == array.shape and entry.array.dtype == array.dtype
            if same and entry.array.tobytes() == array.tobytes():
                raise CaptureError(
                    f"a constant of the traced function has exactly the values of parameter {entry.name!r}: the weight "
                    "was closed over, and would no longer train. Read it from the parameters it is given."
                )
