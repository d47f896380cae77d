"""What each input is for, read from how the graph uses it: indices into a table, a mask, or plain numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kxchange.dims import Dim, dim_min, symbols
from kxchange.graph import Node, Value
from kxchange.model import Function, Parameter
from kxchange.types import DType

LOOKUPS = {"embedding": (1, 0, 0), "take": (1, 0, None), "take_along_axis": (1, 0, None), "gather_nd": (1, 0, 0)}
"""Op -> (operand that holds indices, operand indexed, axis indexed; None: the attribute `axis`)."""
CARRIERS = frozenset(
    {
        "astype", "reshape", "expand_dims", "squeeze", "broadcast_to", "permute_dims", "slice", "concat", "stack",
        "split", "clip", "where", "flip", "take", "tile",
    }
)  # fmt: skip
"""Ops through which an index stays an index."""
IMAGES, IMAGE_RANK = {DType.UINT8: (0, 256), DType.INT8: (-128, 128)}, 3
"""Bytes of three axes or more are images, whatever is computed of them."""
DEFAULT_HIGH = 2
"""Integers that index nothing are most often masks and flags."""


@dataclass(frozen=True, slots=True)
class InputRole:
    """Range of an integer input.

    Attributes:
        low: Smallest value.
        high: One more than the largest value; a dim where the indexed axis has a symbolic size.
        kind: ``index`` or ``flag`` (integers), ``number`` (anything else).
    """

    low: int
    high: Dim
    kind: str


def input_roles(entry: Function, parameters: Mapping[str, Parameter]) -> dict[str, InputRole]:
    """The role of every input of a function, by name."""
    limits = index_limits(entry)
    roles: dict[str, InputRole] = {}
    for name, value in zip(entry.input_names, entry.graph.inputs, strict=True):
        if not value.type.dtype.is_integer:
            roles[name] = InputRole(0, 2, "number")
        elif value in limits:
            roles[name] = InputRole(0, limits[value], "index")
        elif value.type.dtype in IMAGES and len(value.type.shape) >= IMAGE_RANK:
            roles[name] = InputRole(*IMAGES[value.type.dtype], "number")
        else:
            roles[name] = InputRole(0, DEFAULT_HIGH, "flag")
    return roles


def index_limits(entry: Function) -> dict[Value, Dim]:
    """For every value that is used as an index, the smallest size that it indexes.

    One backward walk: linear in nodes.
    """
    limits: dict[Value, Dim] = {}
    for node in reversed(entry.graph.nodes()):
        if node.op in LOOKUPS:
            note_lookup(node, limits, entry.dims)
        if node.op in CARRIERS:
            bounds = [limits[value] for value in node.outputs if value in limits]
            for value in node.inputs:
                if bounds and value is not None and value.type.dtype.is_integer:
                    limits[value] = dim_min(limits[value], *bounds) if value in limits else dim_min(*bounds)
    return limits


def note_lookup(node: Node, limits: dict[Value, Dim], known: Collection[str]) -> None:
    """Bound the index operand of a lookup by the size of the axis it indexes, where the inputs' sizes tell it."""
    position, table_position, axis = LOOKUPS[node.op]
    indices, table = node.inputs[position], node.inputs[table_position]
    if indices is None or table is None:
        return
    size = table.shape[node.attrs["axis"] if axis is None else axis]
    if symbols(size) <= set(known):
        limits[indices] = dim_min(limits[indices], size) if indices in limits else size
