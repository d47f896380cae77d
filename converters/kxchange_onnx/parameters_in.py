"""Initializers as named parameters, and the rule that says which of them are trainable."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from kxchange.graph import Graph, Node, Value, parameter
from kxchange.literals import literal
from kxchange.model import Array, Parameter, Role
from kxchange.spec import REGISTRY
from kxchange.types import TensorType
from kxchange_onnx.model_records import OWN_CONSTANT

EAGER = 2**16
"""Bytes up to which a tensor is decoded at once; larger ones when they are first needed."""

WEIGHTS: dict[str, tuple[int, ...]] = {
    "matmul": (0, 1),
    "einsum": (0, 1, 2, 3),
    "linear": (1, 2),
    "conv": (1, 2),
    "conv_transpose": (1, 2),
    "batch_norm": (3, 4),
    "layer_norm": (1, 2),
    "rms_norm": (1,),
    "group_norm": (1, 2),
    "instance_norm": (1, 2),
    "lstm": (1, 2, 3, 4),
    "gru": (1, 2, 3, 4),
    "rnn": (1, 2, 3, 4),
    "embedding": (0,),
    "prelu": (1,),
}
"""Operands that are weights, by op."""
STATISTICS = {"batch_norm": (1, 2)}
"""Operands that are running statistics."""
THROUGH = frozenset(
    [
        "reshape",
        "permute_dims",
        "expand_dims",
        "squeeze",
        "astype",
        "split",
        "slice",
        "concat",
        "stack",
        "flip",
        "broadcast_to",
        "tile",
    ]
)
"""Ops that only rearrange: what reads their result reads the weight."""
SCALING = frozenset({"add", "subtract", "multiply", "divide"})


class Parameters:
    """The parameters of a model being read.

    Attributes:
        entries: Parameters by name, in the order of the file.
        own: Whether this converter wrote the file.
        stated: Names that are no constant's in such a file, whatever they look like.
    """

    def __init__(self, *, own: bool = False, stated: Collection[str] = ()) -> None:
        self.entries: dict[str, Parameter] = {}
        self.own = own
        self.stated = frozenset(stated)

    def array(self, name: str) -> Array:
        """The values of a parameter."""
        return self.entries[name].array

    def value(self, name: str, type: TensorType, read: Callable[[], Array]) -> Value:
        """A tensor of the file as a value: a parameter of its (unique) name, or a literal.

        Numbers of rank 0 are literals, as an epsilon is; what this converter wrote says by the name which they are.
        """
        named_so = OWN_CONSTANT.fullmatch(name) is not None and name not in self.stated
        if named_so if self.own else type.rank == 0:
            return literal(read(), type.dtype)
        return self.keep(name, type, read)

    def keep(self, name: str, type: TensorType, read: Callable[[], Array]) -> Value:
        """A tensor of the file as a parameter of its (unique) name, whatever its rank."""
        unique = self._unique(name)
        size = type.dtype.numpy.itemsize
        for dim in type.shape:
            size *= int(dim)  # pyright: ignore[reportArgumentType]
        data: Any = read() if size <= EAGER else read
        self.entries[unique] = Parameter(unique, data, type=type, role=Role.CONSTANT, trainable=False)
        return parameter(unique, type)

    def _unique(self, name: str) -> str:
        base, number = name or "constant", 1
        unique = base
        while unique in self.entries:
            unique, number = f"{base}_{number}", number + 1
        return unique


def read_names(graph: Graph) -> set[str]:
    """Names of the parameters that a graph reads; sub-graphs are closed and read none."""
    return {str(node.attrs["name"]) for node in graph.nodes() if node.op == "parameter"}


def weight_roles(graph: Graph) -> dict[str, Role]:
    """Roles of the floating parameters that a graph uses as weights or statistics.

    A parameter is a weight where it is, rearranged or not, the weight operand of a linear map, convolution,
    normalisation, embedding or recurrent layer, or where it is added to or multiplied with the result of one.
    """
    found: dict[str, Role] = {}
    held: dict[Value, frozenset[str]] = {}
    fed: set[Value] = set()
    for node in graph.nodes():
        if node.op == "parameter":
            if node.types[0].dtype.is_floating:
                held[node.outputs[0]] = frozenset({str(node.attrs["name"])})
            continue
        found |= dict.fromkeys(_names(node, _statistics(node), held), Role.BUFFER)
        weights = _names(node, _weights(node), held)
        reads_fed = any(value in fed for value in node.inputs)
        if node.op in SCALING and reads_fed:
            weights |= _names(node, (0, 1), held)
        found |= dict.fromkeys(weights, Role.PARAMETER)
        if weights or (reads_fed and node.op in THROUGH | SCALING):
            fed.update(node.outputs)
        if node.op in THROUGH or _picks(node):
            names = _names(node, (0,) if _picks(node) else tuple(range(len(node.inputs))), held)
            held |= dict.fromkeys(node.outputs, names) if names else {}
    return found


def _names(node: Node, places: tuple[int, ...], held: dict[Value, frozenset[str]]) -> frozenset[str]:
    values = (node.inputs[place] for place in places if place < len(node.inputs))
    return frozenset(name for value in values if value is not None for name in held.get(value, ()))


def _picks(node: Node) -> bool:
    """Whether it takes a part of its operand that is known by now, as a recurrent layer's direction is."""
    return node.op == "take" and node.inputs[1] is not None and node.inputs[1].node.op in ("full", "constant")


def _weights(node: Node) -> tuple[int, ...]:
    table = node.inputs[0] if node.op == "take" else None
    if table is not None and not _picks(node) and node.attrs["axis"] == 0 and table.ndim == 2:
        return (0,)
    return WEIGHTS.get(node.op, ())


def _statistics(node: Node) -> tuple[int, ...]:
    return STATISTICS.get(node.op, ())


def unknown_ops() -> set[str]:
    """Ops named here that the language has not: always empty."""
    return (WEIGHTS.keys() | STATISTICS.keys() | THROUGH | SCALING) - REGISTRY.keys()
