"""The walk over a TensorFlow graph: from what is asked for back to what is fed, every node by the table of rules.

Nothing is run. Operators without a rule are blockers, by name, all of them at once; nodes that only order others
(assertions, printing, initializers, savers) are not needed for any result and are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kxchange.errors import Blocker, CaptureError, DimError, FormatError, KxchangeError, LimitError, TypeInferenceError
from kxchange.format.limits import MAX_EXPANDED_CALLS
from kxchange.graph import Graph, Source, Value, emitting
from kxchange.known import Knowledge
from kxchange.literals import literal
from kxchange.types import DType
from kxchange_tensorflow.graph_proto import FunctionName, FunctionRecord, GraphRecord, NodeRecord, OtherType, Shape
from kxchange_tensorflow.lift import ABSENT, SCOPE, Absent, LiftTable, call, refuse
from kxchange_tensorflow.lists_in import ListValue, Resource

FAULTS = (CaptureError, TypeInferenceError, DimError, LookupError, ValueError, TypeError, ArithmeticError)
MAX_DEPTH = 64
NO_RULE = "it is not among the pure operators that kxchange lifts"
CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
OUTPUTS: dict[str, tuple[str, ...]] = {
    "TopKV2": ("values", "indices"),
    "FusedBatchNorm": ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"),
    "FusedBatchNormV2": ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"),
    "FusedBatchNormV3": ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2", "reserve_space_3"),
    "Switch": ("output_false", "output_true"),
    "Merge": ("output", "value_index"),
    "Unique": ("y", "idx"),
}
"""Names of results that a function's body refers to, where an operator has more than one kind."""
SILENT = frozenset({"N", "num", "Tin", "Tout", "Tcond", "container", "shared_name", "use_cudnn_on_gpu", "config"})
SILENT |= {"config_proto", "executor_type", "parallel_iterations", "output_shapes", "validate_shape", "element_dtype"}
SILENT |= {"allowed_devices", "debug_name", "validate_indices", "Tlen", "class", "num_lower", "num_upper"}
"""Attributes that change no result."""


class Dead:
    """A value of the branch that is not taken."""


DEAD = Dead()


@dataclass(frozen=True, slots=True)
class Opaque:
    """A tensor that holds no numbers; only operators that are refused read it."""

    kind: str


class GraphLifter:
    """One lift of a graph and its functions.

    Attributes:
        record: The graph.
        table: Rules by operator.
        knowledge: Contents of small tensors.
        constant: Makes the value of a constant: name of the function it is in, its node.
        variable: Makes the value of a variable: its node in the main graph.
        op: The operator that is being lifted.
    """

    def __init__(
        self,
        record: GraphRecord,
        table: LiftTable,
        knowledge: Knowledge,
        constant: Callable[[str, NodeRecord], Value],
        variable: Callable[[NodeRecord], Value],
    ) -> None:
        self.record = record
        self.table = table
        self.knowledge = knowledge
        self.constant = constant
        self.variable = variable
        self.places: dict[tuple[str, str], list[str]] = {}
        self.op = ""
        self._calls: list[str] = []
        self._count = 0

    def blockers(self) -> list[Blocker]:
        """What could not be lifted."""
        return [Blocker(op, reason, tuple(places)) for (op, reason), places in self.places.items()]

    def run(self, feeds: Mapping[str, Any], fetches: Sequence[str]) -> list[Any]:
        """What tensors of the main graph stand for, where others are given."""
        values = {reference(name, self.record.nodes): value for name, value in feeds.items()}
        return self._walk(self.record.nodes, values, fetches, "")

    def function(self, name: str, operands: Sequence[Any]) -> tuple[Any, ...]:
        """The results of a function of the library on these operands."""
        found = self.record.functions.get(name)
        if found is None:
            refuse(f"it calls the function {name!r}, which the graph does not have")
        if name in self._calls or len(self._calls) >= MAX_DEPTH:
            raise LimitError(f"functions of the graph call themselves, or are nested more than {MAX_DEPTH} deep.")
        if len(operands) != len(found.inputs):
            refuse(f"it calls {name!r} with {len(operands)} operands, where it takes {len(found.inputs)}")
        values = {(argument, 0): value for argument, value in zip(found.inputs, operands, strict=True)}
        self._calls.append(name)
        before = self.op
        try:
            return tuple(self._walk(found.nodes, values, _results(found), name))
        finally:
            self._calls.pop()
            self.op = before

    def _walk(
        self, nodes: Mapping[str, NodeRecord], values: dict[tuple[str, int], Any], fetches: Sequence[str], where: str
    ) -> list[Any]:
        wanted = [reference(name, nodes) for name in fetches]
        done: set[str] = set()
        active: set[str] = set()
        stack = [(name, False) for name, index in reversed(wanted) if (name, index) not in values]
        while stack:
            name, ready = stack.pop()
            if name in done:
                continue
            node = nodes.get(name)
            if node is None:
                raise FormatError(f"the graph reads {name[:200]!r}, and has no such node.")
            if ready:
                self._lift(node, nodes, values, where)
                done.add(name)
                active.discard(name)
                continue
            if name in active:
                refuse_cycle(node)
            active.add(name)
            stack.append((name, True))
            needed = [reference(item, nodes) for item in node.data]
            stack.extend(
                (other, False) for other, index in needed if (other, index) not in values and other not in done
            )
        return [self._value(values, name, index) for name, index in wanted]

    def _value(self, values: Mapping[tuple[str, int], Any], name: str, index: int) -> Any:
        return values.get((name, index), ABSENT)

    def _lift(
        self, node: NodeRecord, nodes: Mapping[str, NodeRecord], values: dict[tuple[str, int], Any], where: str
    ) -> None:
        self._count += 1
        if self._count > MAX_EXPANDED_CALLS:
            raise LimitError("the graph has too many nodes once its functions are inlined.")
        operands = [self._value(values, *reference(item, nodes)) for item in node.data]
        results: Sequence[Any] = ()
        try:
            with emitting(node.name[:200], _source(node.name)):
                results = self._apply(node, operands, where)
        except FormatError:
            raise
        except FAULTS as error:
            reason = str(error) if isinstance(error, KxchangeError) else f"it is malformed ({error})"
            if reason:
                self.places.setdefault((node.op, reason), []).append(f"{node.name} in {where}" if where else node.name)
        for index, result in enumerate(results):
            values.setdefault((node.name, index), result)

    def _apply(self, node: NodeRecord, operands: list[Any], where: str) -> Sequence[Any]:
        if node.op == "Merge":
            return self._merge(operands)
        if any(isinstance(operand, Dead) for operand in operands):
            return (DEAD,) * 8
        if any(isinstance(operand, Absent) for operand in operands):
            if node.op not in self.table.entries and node.op not in CALLS | LEAVES:
                refuse(NO_RULE)
            return ()
        if node.op in LEAVES:
            return (self._leaf(node, where),)
        if node.op in CALLS:
            target = node.attrs.get("f")
            return self.function(target.name if isinstance(target, FunctionName) else "", operands)
        if node.op == "Switch":
            return self._switch(operands)
        if node.op in self.record.functions:
            return self.function(node.op, operands)
        return self._rule(node, operands)

    def _rule(self, node: NodeRecord, operands: list[Any]) -> Sequence[Any]:
        entry = self.table.entries.get(node.op)
        if entry is None:
            refuse(NO_RULE)
        attributes: dict[str, Any] = {}
        for name, value in node.attrs.items():
            if name in entry.attributes:
                attributes[name] = plain(name, value)
            elif not (name in SILENT or name.startswith("_") or isinstance(value, DType | OtherType)):
                if isinstance(value, tuple) and all(isinstance(item, DType | OtherType) for item in value):
                    continue
                refuse(f"its attribute {name!r} is not known")
        if node.op not in RAW:
            operands = [tensor(operand) for operand in operands]
        before = SCOPE.knowledge, SCOPE.lifter
        SCOPE.knowledge, SCOPE.lifter, self.op = self.knowledge, self, node.op
        try:
            return call(entry, operands, attributes)
        finally:
            SCOPE.knowledge, SCOPE.lifter = before

    def _leaf(self, node: NodeRecord, where: str) -> Any:
        if node.op == "Const":
            data = node.attrs.get("value")
            if isinstance(getattr(data, "dtype", None), OtherType):
                return Opaque(data.dtype.name)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
            return self.constant(where, node)
        if node.op == "VarHandleOp":
            return Resource(self.variable(node))
        if node.op in ("Variable", "VariableV2"):
            return self.variable(node)
        kind = node.attrs.get("dtype")
        what = f"a {kind.name}" if isinstance(kind, OtherType) else "a tensor"
        return refuse(f"it is an input ({what}) that the signature does not feed")

    def _switch(self, operands: list[Any]) -> Sequence[Any]:
        data, predicate = operands
        taken = self.knowledge.content(tensor(predicate))
        if taken is None or taken.dtype == object:
            refuse("it is a branch of TensorFlow 1 that the data decides")
        return (DEAD, data) if bool(taken) else (data, DEAD)

    def _merge(self, operands: list[Any]) -> Sequence[Any]:
        alive = [place for place, operand in enumerate(operands) if not isinstance(operand, Dead)]
        if len(alive) != 1:
            refuse("it joins branches of TensorFlow 1 that the data decides")
        if isinstance(operands[alive[0]], Absent):
            return ()
        import numpy as np

        return (operands[alive[0]], literal(np.asarray(alive[0], np.int32), DType.INT32))


LEAVES = frozenset({"Const", "VarHandleOp", "Variable", "VariableV2", "Placeholder"})
RAW = frozenset({"If", "StatelessIf", "While", "StatelessWhile", "Case", "StatelessCase", "Identity", "IdentityN"})
RAW |= {"TensorListReserve", "TensorListFromTensor", "TensorListGetItem", "TensorListSetItem", "TensorListStack"}
RAW |= {"TensorListLength"}
"""Operators whose rules take resources and lists as such."""


def tensor(operand: Any) -> Any:
    """An operand as a tensor.

    Raises:
        CaptureError: It is none of numbers.
    """
    if isinstance(operand, Resource):
        return operand.value
    if isinstance(operand, Opaque):
        refuse(f"it reads a {operand.kind} tensor")
    if isinstance(operand, ListValue):
        refuse("it reads a list of tensors")
    return operand


def plain(name: str, value: Any) -> Any:
    """An attribute as rules take it."""
    if isinstance(value, OtherType):
        refuse(f"it makes {value.name}s")
    if isinstance(value, Shape):
        return value.dims
    return value.name if isinstance(value, FunctionName) else value


def reference(text: str, nodes: Mapping[str, NodeRecord]) -> tuple[str, int]:
    """Node and output number of a tensor's name: ``node``, ``node:1``, or ``node:result:1`` in functions.

    Raises:
        FormatError: It is malformed.
    """
    parts = text.split(":")
    if len(parts) == 1:
        return text, 0
    if not parts[-1].isdigit() or len(parts) > 3 or len(parts[-1]) > 6:
        raise FormatError(f"{text[:200]!r} is no name of a tensor.")
    index = int(parts[-1])
    if len(parts) == 3:
        names = OUTPUTS.get(nodes[parts[0]].op if parts[0] in nodes else "", ())
        if parts[1] in names:
            index += names.index(parts[1])
    return parts[0], index


def refuse_cycle(node: NodeRecord) -> None:
    """Loops of TensorFlow 1 are cycles in the graph.

    Raises:
        FormatError: always.
    """
    raise FormatError(
        f"the graph has a cycle through {node.name[:200]!r} ({node.op}): loops of TensorFlow 1 (Enter, NextIteration, "
        "Exit) are not lifted. Freeze the model again with tf.compat.v1.enable_control_flow_v2()."
    )


def _results(function: FunctionRecord) -> list[str]:
    missing = [name for name in function.outputs if name not in function.results]
    if missing:
        raise FormatError(f"the function {function.name!r} does not say what its result {missing[0]!r} is.")
    return [function.results[name] for name in function.outputs]


def _source(name: str) -> Source | None:
    path = ".".join(part for part in name.split("/")[:-1] if part)
    return Source(path=path[:200]) if path else None


def is_lifted(graph: Graph) -> bool:
    """Whether every output is a value."""
    return all(isinstance(value, Value) for value in graph.outputs)
