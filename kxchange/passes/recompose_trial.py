"""Small sizes, random operands and float64: how one node is computed for a proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from kxchange.constant import Constant
from kxchange.dims import Dim, DimExpr, evaluate
from kxchange.errors import KxchangeError
from kxchange.graph import Graph, Node
from kxchange.model import Array
from kxchange.passes.retype import FLOATS
from kxchange.spec import REGISTRY
from kxchange.types import DType, TensorType

Environment = dict[Node, tuple[Array, ...]]
SIZE_ATTRS = frozenset({"shape", "sizes", "stops", "stop", "repetitions", "rows", "columns"})
"""Attributes whose plain ints are sizes of axes."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers for the sizes in a claim.

    Attributes:
        symbols: Size of each symbolic dim.
        smaller: What stands for a size that is known and large.
    """

    symbols: Mapping[str, int]
    smaller: Mapping[int, int] = field(default_factory=dict[int, int])

    def __call__(self, dim: Dim) -> int:
        """The number for one dim."""
        return evaluate(dim, self.symbols) if isinstance(dim, DimExpr) else self.smaller.get(dim, dim)

    def shape(self, type: TensorType) -> tuple[int, ...]:
        """The numbers for a shape."""
        return tuple(self(dim) for dim in type.shape)


def draw(type: TensorType, sizes: Sizes, kind: str, scale: float, seed: Sequence[int]) -> Array:
    """A random operand: floats in float64, few small integers, booleans.

    Raises:
        KxchangeError: There are no random values of this type.
    """
    generator = np.random.default_rng(list(seed))
    shape = sizes.shape(type)
    if type.dtype.is_floating:
        signed = kind == "signed"
        return (generator.standard_normal(shape) if signed else generator.uniform(0.5, 1.5, shape)) * scale
    if type.dtype.is_bool:
        return generator.random(shape) < 0.5
    if type.dtype.is_integer:
        return generator.integers(0, 2, shape).astype(type.dtype.numpy)
    raise KxchangeError(f"no random values of type {type}.")


def run(node: Node, operands: Sequence[Array | None], sizes: Sizes) -> tuple[Array, ...]:
    """The reference of a node, in float64 and at other sizes."""
    attrs = {name: _resolved(name, value, sizes) for name, value in node.attrs.items()}
    with np.errstate(all="ignore"):
        return REGISTRY[node.op].evaluate(operands, attrs)


def _resolved(name: str, value: Any, sizes: Sizes) -> Any:
    """One attribute value: dims as numbers, floating types as float64."""
    if isinstance(value, DimExpr):
        return sizes(value)
    if isinstance(value, DType):
        return DType.FLOAT64 if value in FLOATS else value
    if isinstance(value, Constant):
        return Constant(value.array.astype(np.float64)) if value.type.dtype in FLOATS else value
    if isinstance(value, Graph):
        raise KxchangeError("control flow is not part of a claim.")
    if isinstance(value, tuple):
        return tuple(_resolved(name, item, sizes) for item in cast("tuple[Any, ...]", value))
    return sizes(value) if type(value) is int and name in SIZE_ATTRS else value
