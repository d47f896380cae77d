"""Proof of a claim: both sides computed in float64 on random operands. Patterns are liberal, acceptance is not."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from kxchange.dims import symbols
from kxchange.errors import KxchangeError
from kxchange.graph import Node, Value, topological_order
from kxchange.model import Array
from kxchange.passes.common_subexpressions import exact
from kxchange.passes.recompose_claims import Claim
from kxchange.passes.recompose_normal import Normal
from kxchange.passes.recompose_trial import Environment, Sizes, draw, run
from kxchange.spec import dims_of
from kxchange.types import TensorType

NOISE = 1e-12
"""Relative distance in norm that two ways to compute one function in float64 may have: what validation allows."""
MAGNIFIED = 4.0
"""How much a constant's rounding may be magnified in the result."""
FULL_SIZE = 2**16
"""Elements up to which the sizes of the graph are used as they are."""
LARGEST = 2**24
"""Elements above which sizes are made smaller, or the claim is dropped."""
SIZES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89)
LARGE = 8
"""Size above which a known size is replaced by a smaller one where there are too many elements."""
CASES = (("signed", 1.0), ("positive", 1e-3), ("signed", 20.0))
"""Distribution and scale of the operands: small ones show an epsilon, large ones a tail."""
SOURCE_ERRORS = (KxchangeError, ValueError, IndexError, TypeError, ArithmeticError)


class Prover:
    """Proves claims on one graph; claims of one structure are proven once.

    Attributes:
        trials: How often both sides of a claim were computed.
    """

    def __init__(self, normal: Normal) -> None:
        self.normal = normal
        self.trials = 0
        self._known: dict[Hashable, bool] = {}

    def holds(self, claim: Claim) -> bool:
        """Whether both sides are the same function, at distinct sizes and at equal ones."""
        key = structure(claim, self.normal)
        if key not in self._known:
            self._known[key] = self._prove(claim)
        return self._known[key]

    def _prove(self, claim: Claim) -> bool:
        constrained = any(node.constraints for node in claim.dissolved)
        verdicts = [self._judge(claim, group) for group in size_groups(claim, self.normal)]
        # Sizes that the graph itself rules out say nothing.
        return True in verdicts and False not in verdicts and (constrained or None not in verdicts)

    def _judge(self, claim: Claim, group: Sequence[Sizes]) -> bool | None:
        """The first answer that a group of sizes gives; None if none of them can be evaluated."""
        for sizes in group:
            verdict = self._agrees(claim, sizes)
            # With sizes made smaller, a number in the graph may no longer be the size that it was.
            if verdict or (verdict is False and not sizes.smaller):
                return verdict
        return None

    def _agrees(self, claim: Claim, sizes: Sizes) -> bool | None:
        self.trials += 1
        allowed = NOISE + (0.0 if has_exact_numbers(claim) else MAGNIFIED * claim.slack)
        seen = False
        for number, (kind, scale) in enumerate(CASES):
            try:
                arrays = {v: self._operand(v, sizes, kind, scale, (number, i)) for i, v in enumerate(claim.operands)}
                expected = _compute(claim.root, claim.dissolved, arrays, claim.same, sizes)
            except SOURCE_ERRORS:
                return None
            try:
                got = _compute(claim.whole, claim.added, arrays, {}, sizes)
            except SOURCE_ERRORS:
                return False
            if not close(got, expected, allowed):
                return False
            seen = seen or bool(expected.size and np.all(np.isfinite(expected)))
        return True if seen else None

    def _operand(self, value: Value, sizes: Sizes, kind: str, scale: float, seed: tuple[int, int]) -> Array:
        """A random array; a value that depends on sizes alone, such as a causal mask, as it is."""
        if value.node not in self.normal.sourceless:
            return draw(value.type, sizes, kind, scale, seed)
        nodes = list(topological_order((value,)))
        return _compute(value, nodes, {}, {}, sizes)


def has_exact_numbers(claim: Claim) -> bool:
    """Whether a number is written more finely than float32: then it means what it says, digits left off and all."""
    written = [n.attrs["value"] for n in claim.dissolved if n.op == "full"]
    return any(isinstance(value, float) and float(np.float32(value)) != value for value in written)


def _compute(
    value: Value, nodes: Sequence[Node], arrays: dict[Value, Array], same: dict[Value, Value], sizes: Sizes
) -> Array:
    """The array of `value`, from those of the operands."""
    known: Environment = {}

    def read(operand: Value) -> Array:
        given = arrays.get(same.get(operand, operand))
        return known[operand.node][operand.index] if given is None else given.reshape(sizes.shape(operand.type))

    for node in nodes:
        known[node] = run(node, [None if v is None else read(v) for v in node.inputs], sizes)
    return known[value.node][value.index]


def close(got: Array, expected: Array, allowed: float) -> bool:
    """Whether two float64 arrays are equal but for rounding: shape, NaN and infinities, and the rest in norm."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return False
    finite = np.isfinite(expected)
    if not np.array_equal(np.isfinite(got), finite) or not np.array_equal(np.isnan(got), np.isnan(expected)):
        return False
    infinite = np.isinf(expected)
    distance = float(np.linalg.norm(got[finite] - expected[finite]))
    return bool(np.all(got[infinite] == expected[infinite])) and distance <= allowed * float(
        np.linalg.norm(expected[finite])
    )


def size_groups(claim: Claim, normal: Normal) -> list[list[Sizes]]:
    """Sizes to try: distinct ones and, where there are symbols, equal ones; multiples of 16 where small ones fail."""
    nodes = [*claim.dissolved, *claim.added]
    nodes += topological_order([v for v in claim.operands if v.node in normal.sourceless])
    types = [type for node in nodes for type in node.types] + [value.type for value in claim.operands]
    dims = [dim for type in types for dim in type.shape]
    dims += [dim for node in nodes for value in node.attrs.values() for dim in dims_of(value)]
    names = sorted({name for dim in dims for name in symbols(dim)})
    ints = {dim for dim in dims if isinstance(dim, int)}
    free = [size for size in SIZES if size not in ints]
    if len(names) > len(free):
        return []
    smaller = dict(zip(sorted(size for size in ints if size > LARGE), free[len(names) :], strict=False))
    distinct = [dict(zip(names, free, strict=False)), {n: 16 * s for n, s in zip(names, SIZES, strict=False)}]
    equal = [dict.fromkeys(names, 4), dict.fromkeys(names, 48)] if names else []
    groups = [distinct, equal] if names else [distinct[:1]]
    return [[s for known in group for s in _affordable(Sizes(known), smaller, types)] for group in groups]


def _affordable(sizes: Sizes, smaller: dict[int, int], types: Sequence[TensorType]) -> Iterator[Sizes]:
    """The sizes as they are if they are few; else smaller ones first."""
    count = _elements(sizes, types)
    if count > FULL_SIZE:
        reduced = Sizes(sizes.symbols, smaller)
        if _elements(reduced, types) <= LARGEST:
            yield reduced
    if count <= LARGEST:
        yield sizes


def _elements(sizes: Sizes, types: Sequence[TensorType]) -> int:
    try:
        return max((int(np.prod(sizes.shape(type), dtype=np.int64)) for type in types), default=0)
    except KxchangeError:
        return LARGEST + 1


def structure(claim: Claim, normal: Normal) -> Hashable:
    """What a proof depends on: two claims with equal structures are both true or both false."""
    names: dict[Any, Hashable] = {}
    for number, value in enumerate(claim.operands):
        fixed = normal.term(value).uid if value.node in normal.sourceless else -1
        names[value] = ("operand", number, value.type, fixed)
    lines: list[Hashable] = []
    for node in (*claim.dissolved, *claim.added):
        refs = [None if v is None else _reference(v, claim, names) for v in node.inputs]
        attrs = tuple(exact(value) for value in node.attrs.values())
        lines.append((node.op, tuple(refs), attrs, node.types))
        names.update({value: ("node", len(lines), value.index) for value in node.outputs})
    return tuple(lines), names[claim.root], names[claim.whole], claim.slack


def _reference(value: Value, claim: Claim, names: dict[Any, Hashable]) -> Hashable:
    return names[claim.same.get(value, value)], value.type
