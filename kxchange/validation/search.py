"""Two runs to compare inside: what belongs to a search for the place where they part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kxchange.format.integrity import tensor_sha256
from kxchange.graph import Node, Value
from kxchange.model import Array, Model
from kxchange.printing import attribute
from kxchange.traps import TRAPS
from kxchange.types import DType
from kxchange.validation.measure import Distance, distance, is_exact
from kxchange.validation.place import Place, Statistics
from kxchange.validation.probe import Prepare, fetch_values, sizes_of
from kxchange.validation.verdict import FLOAT64_LIMIT, RATIO_LIMIT, SMALLEST, UNIT_ROUNDOFF


@dataclass(slots=True)
class Search:
    """Two models, where the second runs, and the inputs on which they part.

    Attributes:
        right: In float64.
        other: As it runs: in float64 or in its own dtypes.
        prepare: Runs the other model.
        reference: Runs it on NumPy, for the error that its dtypes explain.
        inputs: In the dtypes of the other model.
        function: Entry point.
        unit: Unit roundoff of the other run.
        case: Label of the inputs.
        same: Whether both are one model, so that a backend is in question.
        smallest: Absolute error that underflow explains in the other run.
        narrow: The right model in the dtypes of the other run, where they are not float64.
    """

    right: Model
    other: Model
    prepare: Prepare
    reference: Prepare
    inputs: Mapping[str, Array]
    function: str | None = None
    unit: float = UNIT_ROUNDOFF[DType.FLOAT64]
    case: str = ""
    same: bool = True
    smallest: float = SMALLEST[DType.FLOAT64]
    narrow: Model | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Size of every symbol of the inputs."""
        entry = self.other.function(self.function)
        return sizes_of(entry.graph, [self.inputs[name] for name in entry.input_names])

    @property
    def wide(self) -> bool:
        """Whether both sides compute in float64."""
        return self.unit == UNIT_ROUNDOFF[DType.FLOAT64]

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return "float64" if self.wide else "native"


@dataclass(slots=True)
class Candidate:
    """A value that differs, end to end."""

    value: Value
    other: Value
    gap: Distance
    right: Statistics
    found: Statistics


def fetch_own(search: Search, values: Sequence[Value]) -> list[Array | None]:
    """The values on the NumPy reference in the other run's dtypes."""
    return fetch_values(search.reference, search.other, search.function, values, search.inputs)


def parts(array: Array, truth: Array, native: Array | None, search: Search) -> bool:
    """Whether a value differs by more than rounding explains."""
    gap = distance(array, truth)
    if gap.structure or gap.masks or is_exact(truth):
        return bool(gap.structure or gap.masks or gap.mismatches)
    if search.wide or native is None:
        return gap.relative > max(FLOAT64_LIMIT, search.unit) and gap.rmse > search.smallest
    own = distance(native, truth)
    return gap.rmse > RATIO_LIMIT * max(own.rmse, search.unit * gap.scale, search.smallest)


def describe(search: Search, candidate: Candidate) -> Place:
    """A place before its node was run by itself."""
    node, other = candidate.value.node, candidate.other.node
    place = describe_node(search, node, other)
    incomparable = candidate.gap.structure or candidate.gap.masks
    place.error = None if incomparable else candidate.gap.relative
    place.right, place.found = candidate.right, candidate.found
    place.note = incomparable
    return place


def describe_node(search: Search, node: Node, other: Node | None) -> Place:
    """What two nodes say."""
    own = {name: attribute(value) for name, value in node.attrs.items()}
    there = {name: attribute(value) for name, value in other.attrs.items()} if other and not search.same else {}
    source = node.source
    return Place(
        op=node.op,
        name=node.name,
        path=source.path if source else "",
        line=f"{source.file}:{source.line}" if source and source.file else "",
        attributes=own,
        other_op=other.op if other and not search.same and other.op != node.op else "",
        other_attributes={name: text for name, text in there.items() if own.get(name) != text},
        weights=other_weights(search, node, other),
        profile=search.profile,
        case=search.case,
        traps=[f"{trap.code} {trap.name}" for trap in TRAPS.values() if trap.applies(node)],
    )


def other_weights(search: Search, node: Node, other: Node | None) -> list[str]:
    """Parameters among the operands whose bytes differ."""
    if other is None or search.same:
        return []
    pairs = zip(node.inputs, other.inputs, strict=False)
    names = [(n.node.attrs["name"], m.node.attrs["name"]) for n, m in pairs if n and m and is_parameter(n, m)]
    return [
        str(name)
        for name, there in names
        if tensor_sha256(search.right.array(name)) != tensor_sha256(search.other.array(there))
    ]


def is_parameter(*values: Value) -> bool:
    """Whether all are reads of parameters."""
    return all(value.node.op == "parameter" for value in values)
