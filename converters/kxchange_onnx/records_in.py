"""What this converter wrote beside a graph: metadata under ``kxchange.<name>``, and the parameters nothing reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx

from kxchange.constraints import Constraint
from kxchange.errors import DimError, FormatError
from kxchange.model import Parameter, Role

PREFIX = "kxchange."
UNREAD = ("kxchange", "unread_parameters")
"""Domain and name of the function that holds what nothing reads."""


class Records:
    """The records of one file; those that are not what this converter writes are refused."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._texts = {p.key[len(PREFIX) :]: p.value for p in model.metadata_props if p.key.startswith(PREFIX)}
        self.metadata = {p.key: p.value for p in model.metadata_props if not p.key.startswith(PREFIX)}
        self._functions = [f for f in model.functions if (f.domain, f.name) == UNREAD]

    def texts(self, key: str) -> dict[str, str]:
        """A record of texts by name."""
        return self._mapping(key, str)

    def flags(self, key: str) -> dict[str, bool]:
        """A record of flags by name."""
        return self._mapping(key, bool)

    def names(self, key: str) -> list[str]:
        """A list of names."""
        record = self._read(key, [])
        if not isinstance(record, list) or not all(isinstance(name, str) for name in record):
            raise _foreign(key)
        return record

    def _mapping(self, key: str, kind: type) -> dict[str, Any]:
        record = self._read(key, {})
        if not isinstance(record, dict) or not all(isinstance(value, kind) for value in record.values()):
            raise _foreign(key)
        return record

    def _read(self, key: str, default: Any) -> Any:
        try:
            return json.loads(self._texts[key]) if key in self._texts else default
        except (ValueError, RecursionError):
            raise _foreign(key) from None

    @property
    def renamed(self) -> Mapping[str, str]:
        """The model's parameter names by those of the initializers, where they differ."""
        return {file: name for name, file in self.texts("renamed").items()}

    def role(self, name: str) -> Role:
        """The role of a parameter, which is stated where it is not the usual one."""
        try:
            return Role(self.texts("roles").get(name, Role.PARAMETER.value))
        except ValueError:
            raise _foreign("roles") from None

    def constraints(self) -> list[Constraint]:
        """Conditions on sizes."""
        records = self._read("constraints", [])
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise _foreign("constraints")
        try:
            return [Constraint.from_json(record) for record in records]
        except DimError as error:
            raise FormatError(f"the metadata {PREFIX}constraints: {error}") from None

    def unread(self) -> Iterator[onnx.TensorProto]:
        """The parameters that nothing reads, under their names."""
        for function in self._functions:
            for node in function.node:
                if node.op_type != "Constant" or len(node.output) != 1 or len(node.attribute) != 1:
                    raise FormatError(
                        f"the function {UNREAD[1]!r} is not what kxchange writes: it holds constants only."
                    )
                tensor = onnx.TensorProto()
                tensor.CopyFrom(node.attribute[0].t)
                tensor.name = node.output[0]
                yield tensor

    def completed(self, found: Sequence[Parameter]) -> list[Parameter]:
        """The parameters with their other names, in the order that the model had."""
        known = {entry.name: entry for entry in found}
        for alias, first in self.texts("aliases").items():
            if first in known and alias not in known:
                known[alias] = known[first].replace(name=alias, alias_of=first)
        order = [name for name in dict.fromkeys(self.names("order")) if name in known]
        return [known[name] for name in [*order, *(name for name in known if name not in set(order))]]


def _foreign(key: str) -> FormatError:
    return FormatError(f"the metadata {PREFIX + key!r} is not what kxchange writes there.")
