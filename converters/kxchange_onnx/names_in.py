"""What the names of one ONNX graph stand for while it is lifted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from kxchange.errors import FormatError
from kxchange.graph import Node


class Names:
    """Values by name; a sub-graph sees those of the graphs around it."""

    __slots__ = ("_outer", "_values")

    def __init__(self, outer: Names | None = None) -> None:
        self._outer = outer
        self._values: dict[str, Any] = {}

    def find(self, name: str, reader: str) -> Any:
        """The value called `name`.

        Raises:
            FormatError: Nothing before `reader` is called so: an undefined name, or a cycle.
        """
        scope: Names | None = self
        while scope is not None:
            if name in scope._values:
                return scope._values[name]
            scope = scope._outer
        raise FormatError(
            f"{reader} reads {name[:200]!r}, which no input, initializer or node before it is called: "
            "the name is undefined, or the nodes form a cycle or are not in order."
        )

    def define(self, name: str, value: Any, writer: str) -> None:
        """Give `name` its one value.

        Raises:
            FormatError: It has one already.
        """
        if name in self._values:
            raise FormatError(f"{writer} defines {name[:200]!r}, which is defined already.")
        self._values[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self._values


@dataclass(frozen=True, slots=True)
class Context:
    """The graph that is being lifted.

    Attributes:
        names: What its names stand for.
        opsets: Version by domain.
        attributes: In a function, the attributes of the call.
        calls: The functions around it that are being inlined.
        born: Nodes emitted for this graph: what a sub-graph may keep inside.
        path: Place of the graph, for messages: the names of the nodes around it.
    """

    names: Names
    opsets: Mapping[str, int]
    attributes: Mapping[str, onnx.AttributeProto] = field(default_factory=dict[str, onnx.AttributeProto])
    calls: tuple[Any, ...] = ()
    born: set[Node] = field(default_factory=set[Node])
    path: str = ""


def domain_of(name: str) -> str:
    """The domain under its one name: the default one is written in two ways."""
    return "" if name == "ai.onnx" else name


def opset_versions(imports: Any, where: str) -> dict[str, int]:
    """Version by domain.

    Raises:
        FormatError: A domain is imported twice, in a version that is none or that the onnx package does not know.
    """
    found: dict[str, int] = {}
    for item in imports:
        domain, newest = domain_of(item.domain), newest_version(domain_of(item.domain))
        if domain in found and found[domain] != item.version:
            raise FormatError(f"{where} imports the domain {domain or 'ai.onnx'!r} in two versions.")
        if item.version < 1 or (newest is not None and item.version > newest):
            known = f"the installed onnx {onnx.__version__} knows 1 to {newest}. Upgrade it" if newest else "it is none"
            raise FormatError(f"{where} imports version {item.version} of {domain or 'ai.onnx'!r}: {known}.")
        found[domain] = item.version
    return found


def newest_version(domain: str) -> int | None:
    """The newest version of the default domain that the onnx package defines; None for other domains."""
    return onnx.defs.onnx_opset_version() if domain == "" else None
