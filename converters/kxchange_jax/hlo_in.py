"""The walk over a StableHLO module: every operation of an allow-list becomes nodes; all others are blockers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from kxchange.constraints import Constraint, Kind
from kxchange.dims import Dim, DimExpr
from kxchange.errors import Blocker, CaptureError, DimError, TypeInferenceError
from kxchange.graph import PROVENANCE, Graph, Source, Value, placeholder
from kxchange.table import Table
from kxchange.types import TensorType
from kxchange_jax.hlo_attributes import RankedType, type_of
from kxchange_jax.lift import SCOPE, number_of
from kxchange_jax.lifting import Lifter
from kxchange_jax.numbers_in import Numbers
from kxchange_jax.parameters_in import ParameterTable
from kxchange_jax.sources_in import Sources

hlo = Table("stablehlo")
Environment = dict[Any, Value]
RETURNS = ("func.return", "stablehlo.return")
DEEPEST = 64
"""Levels of calls and regions."""
LARGEST = 1_000_000
"""Operations that one module may come to once its calls are written out."""
LEAVES = ("full", "constant", "parameter")
"""Nodes that mean the same inside of a region as outside."""


class Reader(Lifter):
    """One module on its way to a graph.

    Attributes:
        module: The parsed module.
        constraints: What its shape assertions say of the sizes.
    """

    def __init__(self, module: Any, table: ParameterTable) -> None:
        super().__init__(table, {}, Numbers(None), Sources())
        self.functions = {str(op.name).strip('"'): op for op in module.body.operations}
        self.constraints: list[Constraint] = []
        self.operation: Any = None
        self.operands: list[Value] = []
        self.environment: Environment = {}
        self._level = 0
        self._count = 0

    def call(self, name: str, operands: Sequence[Value]) -> list[Value]:
        """The results of a function of the module, written out in place."""
        if name not in self.functions:
            raise CaptureError(f"the module has no function {name!r}")
        return self.block(self.functions[name].regions[0].blocks[0], operands, {})

    def block(self, block: Any, arguments: Sequence[Value], outer: Environment) -> list[Value]:
        """The values that a block returns."""
        self._level += 1
        if self._level > DEEPEST:
            raise CaptureError(f"the module has more than {DEEPEST} levels of calls")
        environment = {**outer, **dict(zip(block.arguments, arguments, strict=True))}
        try:
            for op in block.operations:
                operands = [environment[value] for value in op.operands]
                if op.operation.name in RETURNS:
                    return operands
                environment.update(zip(op.results, self.apply(op, operands, environment), strict=True))
        finally:
            self._level -= 1
        raise CaptureError("a block of the module returns nothing")

    def apply(self, op: Any, operands: list[Value], environment: Environment) -> Sequence[Value]:
        """The results of one operation; poisoned ones where it is a blocker."""
        self._count += 1
        if self._count > LARGEST:
            raise CaptureError(f"the module comes to more than {LARGEST} operations")
        name = op.operation.name.removeprefix("stablehlo.")
        source = Source("", 0, location(op))
        entry = hlo.entries.get(name)
        before = self.operation, self.operands, self.environment
        PROVENANCE.source, PROVENANCE.name = source, self.sources.name("", name.replace(".", "_"))
        try:
            if entry is None:
                raise CaptureError("it is not on the list of operations that are read")
            types = [type_of(result.type) for result in op.results]
            self.operation, self.operands, self.environment = op, operands, environment
            SCOPE.lifter = self
            results = entry.rule(*operands)
            results = list(results) if isinstance(results, tuple | list) else [results]
            self._check(types, results)
        except (CaptureError, TypeInferenceError, DimError) as error:
            self.blockers.setdefault((name, str(error)), []).append(location(op) or "an unnamed place")
            return [self._stand_in(result) for result in op.results]
        finally:
            self.operation, self.operands, self.environment = before
        return results

    def _check(self, types: Sequence[RankedType], results: Sequence[Value]) -> None:
        if len(types) != len(results):
            raise CaptureError(f"it has {len(types)} results, and {len(results)} were made")
        for type, value in zip(types, results, strict=True):
            pairs = zip(type.shape, value.shape, strict=False)
            wrong = [a for a, b in pairs if a is not None and isinstance(b, int) and a != b]
            if value.dtype is not type.dtype or value.ndim != len(type.shape) or wrong:
                raise CaptureError(f"its result is {type.dtype}{list(type.shape)}, and {value.type} was inferred")

    def _stand_in(self, result: Any) -> Value:
        try:
            type = type_of(result.type)
        except CaptureError:
            return self.poison(None)
        return placeholder("unsupported", TensorType(type.dtype, tuple(size or 1 for size in type.shape)))

    def result_type(self, index: int = 0, like: Value | None = None) -> TensorType:
        """The type of a result, open sizes taken from a value of the same rank.

        Raises:
            CaptureError: There is no such value.
        """
        type = type_of(self.operation.results[index].type)
        if type.is_static:
            return TensorType(type.dtype, cast("tuple[int, ...]", type.shape))
        if like is None or like.ndim != len(type.shape):
            raise CaptureError("the sizes of its result are open, and do not follow from its operands")
        return TensorType(type.dtype, tuple(like.shape))

    def region(self, index: int, types: Sequence[TensorType]) -> tuple[Graph, list[Value]]:
        """A region as a closed graph of (what it reads from outside..., its arguments...), and what it reads.

        Args:
            index: Which region of the current operation.
            types: Types of the region's arguments.
        """
        block = self.operation.regions[index].blocks[0]
        outside = [value for value in free_values(block) if value in self.environment]
        held = {value: self.environment[value] for value in outside}
        read = {value: held[value] for value in outside if held[value].node.op not in LEAVES}
        inputs = [placeholder(f"x{i}", TensorType(v.dtype, tuple(v.shape))) for i, v in enumerate(read.values())]
        args = [placeholder(f"x{len(inputs) + i}", type) for i, type in enumerate(types)]
        inner = {**held, **dict(zip(read, inputs, strict=True))}
        self._depth += 1
        try:
            results = self.block(block, args, inner)
        finally:
            self._depth -= 1
        return Graph((*inputs, *args), tuple(results)), list(read.values())

    def collected(self) -> list[Blocker]:
        """All blockers so far."""
        return [Blocker(name, reason, tuple(places)) for (name, reason), places in self.blockers.items()]


def free_values(block: Any) -> list[Any]:
    """Values that a block, or a block inside it, reads and does not make."""
    made, read, pending = set[Any](), dict[Any, None](), [block]
    while pending:
        current = pending.pop()
        made.update(current.arguments)
        for op in current.operations:
            read.update(dict.fromkeys(op.operands))
            made.update(op.results)
            pending += [inner for region in op.regions for inner in region.blocks]
    return [value for value in read if value not in made]


def location(op: Any) -> str:
    """The name that the writer gave an operation, cut to a line."""
    found = str(op.location)
    parts = [part for part in found.split('"') if part and "(" not in part and "/" not in part.partition("/")[0]]
    return parts[1].partition("/")[2][:80] if len(parts) > 1 else ""


def size_of(x: Value) -> Dim | None:
    """The size that a rank-0 value is known to be."""
    number = number_of(x) if not x.ndim and x.dtype.is_integer else None
    return number if isinstance(number, int | DimExpr) and not isinstance(number, bool) else None


def current() -> Reader:
    """The reader whose rule is running."""
    return cast(Reader, SCOPE.lifter)


def inline_case(index: Dim) -> list[Value] | None:
    """The branch of a `case` that a known index takes."""
    reader = current()
    regions = reader.operation.regions
    if not isinstance(index, int):
        return None
    place = index if 0 <= index < len(regions) else len(regions) - 1
    return reader.block(regions[place].blocks[0], [], reader.environment)


def assertion(condition: Value) -> None:
    """Keep what a shape assertion says of the sizes."""
    node = condition.node
    kinds: dict[str, Kind] = {"greater_equal": "at_least", "equal": "equal"}
    if node.op in kinds and all(operand is not None for operand in node.inputs):
        left, right = (number_of(cast(Value, operand)) for operand in node.inputs)
        if isinstance(left, DimExpr | int) and isinstance(right, DimExpr | int) and isinstance(left - right, DimExpr):
            current().constraints.append(Constraint(kinds[node.op], left, right, "stated by the artifact"))
