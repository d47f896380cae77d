"""The arguments of a node, checked once against the operator's schema: operands in order, attributes by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import onnx
from onnx.defs import OpSchema

from kxchange.errors import CaptureError, FormatError
from kxchange_onnx.lift import Entry
from kxchange_onnx.tensors_in import TensorReader

Kind = onnx.AttributeProto


@dataclass(frozen=True, slots=True)
class Body:
    """A sub-graph among the attributes of a node."""

    graph: onnx.GraphProto


@dataclass(frozen=True, slots=True)
class Signature:
    """What a schema says of an operator.

    Attributes:
        since: Version of the operator.
        attributes: Attribute kinds by name.
        defaults: Attribute defaults by name.
        required: Attributes that must be there.
        fewest: Least number of operands.
        most: Greatest number of operands.
        single: For each operand, whether it must be present.
    """

    since: int
    attributes: Mapping[str, int] = field(default_factory=dict[str, int])
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    required: frozenset[str] = frozenset()
    fewest: int = 0
    most: int = 2**31
    single: tuple[bool, ...] = ()


@cache
def signature(domain: str, name: str, version: int) -> Signature | None:
    """The operator as of an opset of its domain; None where the onnx package knows none."""
    try:
        schema = onnx.defs.get_schema(name, version, domain)
    except onnx.defs.SchemaError:
        return None
    defaults = {a.name: plain(a.default_value) for a in schema.attributes.values() if a.default_value.type}
    return Signature(
        schema.since_version,
        {a.name: a.type.value for a in schema.attributes.values()},  # pyright: ignore[reportAttributeAccessIssue]
        defaults,
        frozenset(a.name for a in schema.attributes.values() if a.required),
        schema.min_input,
        schema.max_input,
        tuple(p.option == OpSchema.FormalParameterOption.Single for p in schema.inputs),
    )


def plain(attribute: onnx.AttributeProto) -> Any:
    """The value of an attribute that is a number, a text or a list of them."""
    if attribute.type == Kind.STRING:
        return text_of(attribute.s)
    if attribute.type == Kind.STRINGS:
        return tuple(text_of(item) for item in attribute.strings)
    if attribute.type in (Kind.INTS, Kind.FLOATS):
        return tuple(onnx.helper.get_attribute_value(attribute))
    return onnx.helper.get_attribute_value(attribute)


def text_of(data: bytes) -> str:
    """Text from a file; bytes that are no UTF-8 are refused.

    Raises:
        FormatError: They are none.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError("a text in the file is not UTF-8.") from None


def value_of(attribute: onnx.AttributeProto, tensors: TensorReader) -> Any:
    """The value of any attribute as rules take it."""
    if attribute.type == Kind.TENSOR:
        return tensors.array(attribute.t)
    if attribute.type == Kind.SPARSE_TENSOR:
        return tensors.dense(attribute.sparse_tensor)
    if attribute.type == Kind.GRAPH:
        return Body(attribute.g)
    if attribute.type == Kind.TYPE_PROTO:
        return attribute.tp
    if attribute.type in (Kind.INT, Kind.FLOAT, Kind.STRING, Kind.INTS, Kind.FLOATS, Kind.STRINGS):
        return plain(attribute)
    raise CaptureError(f"the attribute {attribute.name!r} is of a kind that no operator here takes.")


def bind_operands(entry: Entry | None, known: Signature | None, operands: Sequence[Any]) -> list[Any]:
    """The operands padded with None up to what the rule takes.

    Raises:
        CaptureError: There are too few or too many, or one that must be there is not.
    """
    given = list(operands)
    while given and given[-1] is None:
        given.pop()
    if known is not None:
        missing = any(single and (i >= len(given) or given[i] is None) for i, single in enumerate(known.single))
        if missing or not known.fewest <= len(given) <= known.most:
            wanted = f"{known.fewest}" if known.fewest == known.most else f"{known.fewest} to {known.most}"
            raise CaptureError(f"it takes {wanted} inputs and has {len(given)}, or one that it needs is left out")
    if entry is None or entry.limit is None:
        return given
    if len(given) > entry.limit:
        raise CaptureError(f"its input number {entry.limit + 1} has no lift")
    return given + [None] * (entry.limit - len(given))


def bind_attributes(entry: Entry, known: Signature | None, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of the rule.

    Raises:
        CaptureError: An attribute is unknown, missing or without a lift.
    """
    defaults = entry.defaults if known is None else known.defaults
    if known is not None:
        _check_attributes(known, attributes, entry.attributes)
    for name, value in attributes.items():
        if name not in entry.attributes and value != defaults.get(name):
            raise CaptureError(f"its attribute {name!r} has no lift")
    return {name: attributes.get(name, defaults.get(name)) for name in entry.attributes}


def _check_attributes(known: Signature, attributes: Mapping[str, Any], taken: frozenset[str]) -> None:
    """What the rule takes may stand there earlier than its schema says: exporters write ``value_float`` in opset 11."""
    early = (attributes.keys() - known.attributes.keys()) & taken
    unknown = sorted(attributes.keys() - known.attributes.keys() - taken)
    missing = [] if early else sorted(known.required - attributes.keys())
    if unknown:
        raise CaptureError(f"version {known.since} of it has no attribute {unknown[0]!r}")
    if missing:
        raise CaptureError(f"it needs the attribute {missing[0]!r}")


def check_kinds(known: Signature, given: Sequence[onnx.AttributeProto]) -> None:
    """Demand that every attribute is of the kind that the schema says.

    Raises:
        CaptureError: One is of another.
    """
    for attribute in given:
        wanted = known.attributes.get(attribute.name)
        if wanted is not None and attribute.type != wanted:
            raise CaptureError(f"its attribute {attribute.name!r} is of the wrong kind")
