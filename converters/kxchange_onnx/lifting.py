"""The walk over an ONNX graph that turns every node into ops of the language, and collects all that it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import onnx

from kxchange.errors import Blocker, CaptureError, DimError, FormatError, KxchangeError, LimitError, TypeInferenceError
from kxchange.graph import PROVENANCE, Node, Value
from kxchange.known import Array, Knowledge, has_ratios
from kxchange.literals import literal
from kxchange.types import DType, TensorType
from kxchange_onnx import lift_rules  # noqa: F401 - fills the table
from kxchange_onnx.binding_in import (
    Body,
    bind_attributes,
    bind_operands,
    check_kinds,
    signature,
    value_of,
)
from kxchange_onnx.functions_in import MAX_NODES, Key, has_body, schema_function, with_defaults
from kxchange_onnx.lift import ABSENT, SCOPE, Absent, lift, refuse
from kxchange_onnx.names_in import Context, Names, domain_of, opset_versions
from kxchange_onnx.order_in import ordered
from kxchange_onnx.parameters_in import Parameters
from kxchange_onnx.places_in import node_name, place_of, source_of
from kxchange_onnx.tensors_in import TensorReader

MAX_DEPTH = 64
"""How deep functions and sub-graphs may be nested."""
SETTLED = 64
"""Elements up to which a tensor whose content is known becomes a constant."""
NO_RULE = "there is no lifting rule for it"
CONSTANT = 1024
"""Elements up to which an integer tensor among a node's attributes is a constant of the graph, not a parameter."""
LEAVES = frozenset({"input", "parameter", "full", "constant", "arange", "eye"})
FAULTS = (CaptureError, TypeInferenceError, DimError, LookupError, ValueError, TypeError, ArithmeticError)


class Lifter:
    """One lift: blockers are collected, nodes get names and sources, contents of small tensors are known.

    Attributes:
        tensors: Reads the file's tensors.
        knowledge: What small tensors hold.
        functions: The model's own functions.
        parameters: The model's parameters.
        initializer: Makes the value of an initializer of a graph.
        context: The graph that is being lifted now.
        blockers: Places by operator and reason.
        skipped: Nodes left out because an operand could not be lifted.
        notes: What rules learnt that a graph cannot say: entries of the model's metadata.
    """

    def __init__(
        self,
        tensors: TensorReader,
        knowledge: Knowledge,
        functions: Mapping[Key, onnx.FunctionProto],
        parameters: Parameters,
        initializer: Callable[[onnx.TensorProto, Context], Value],
    ) -> None:
        self.tensors = tensors
        self.knowledge = knowledge
        self.functions = functions
        self.parameters = parameters
        self.initializer = initializer
        self.context = Context(Names(), {})
        self.blockers: dict[tuple[str, str], list[str]] = {}
        self.skipped = 0
        self.notes: dict[str, str] = {}
        self._count = 0

    def run(self, graph: onnx.GraphProto, context: Context) -> list[Any]:
        """Lift a graph whose inputs are defined already; returns what its outputs stand for."""
        before, self.context = self.context, context
        # Rules set what the next node is asked for; the one around goes on asking.
        scope = SCOPE.wanted, SCOPE.version, SCOPE.expand, PROVENANCE.name, PROVENANCE.source
        SCOPE.lifter = self
        try:
            self._define_initializers(graph)
            for node in ordered(graph.node):
                self.node(node)
            return [context.names.find(item.name, f"the output list of graph {graph.name!r}") for item in graph.output]
        finally:
            self.context = before
            SCOPE.wanted, SCOPE.version, SCOPE.expand, PROVENANCE.name, PROVENANCE.source = scope

    def _define_initializers(self, graph: onnx.GraphProto) -> None:
        names = self.context.names
        for tensor in graph.initializer:
            names.define(tensor.name, self.initializer(tensor, self.context), "an initializer")
        for sparse in graph.sparse_initializer:
            dense = onnx.numpy_helper.from_array(self.tensors.dense(sparse), sparse.values.name)
            names.define(dense.name, self.initializer(dense, self.context), "a sparse initializer")

    def node(self, node: onnx.NodeProto) -> None:
        """Lift one node and define its outputs."""
        self._count += 1
        place = place_of(node, self.context.path)
        if self._count > MAX_NODES:
            raise LimitError(f"the model has more than {MAX_NODES} nodes once its functions are inlined.")
        operands = [self.context.names.find(name, place) if name else None for name in node.input]
        PROVENANCE.name, PROVENANCE.source = self._name(node), source_of(node, own=self.parameters.own)
        SCOPE.wanted = tuple(bool(name) for name in node.output)
        if any(isinstance(operand, Absent) for operand in operands):
            self.skipped += 1
            self._check_known(node, place)
            results: Sequence[Any] = ()
        else:
            results = self._attempt(node, operands, place)
        self._define(node, results, place)

    def _name(self, node: onnx.NodeProto) -> str:
        """The name of canonical nodes; in a body that this converter wrote, the one of the node around it."""
        name = node_name(node, own=self.parameters.own)
        unnamed = self.parameters.own and name.rstrip("0123456789") in ("body", "body_")
        return self.context.path if unnamed and self.context.path else name

    def _attempt(self, node: onnx.NodeProto, operands: Sequence[Any], place: str) -> Sequence[Any]:
        """The results of a node; none where it is a blocker."""
        try:
            results = _as_results(self.apply(node, operands))
            if any(index >= len(results) for index, name in enumerate(node.output) if name):
                refuse(f"its output number {len(results) + 1} has no lift")
            return [self.settle(result) for result in results]
        except FormatError:
            raise
        except FAULTS as error:
            reason = str(error) if isinstance(error, KxchangeError) else f"it is malformed ({error})"
            if reason:
                self.block(node.op_type, reason, place)
            return ()

    def _check_known(self, node: onnx.NodeProto, place: str) -> None:
        """Note the operators of a skipped node, and of its sub-graphs, that could not be lifted in any case."""
        pending = [(node, place)]
        while pending:
            current, where = pending.pop()
            if not self._is_known(current):
                self.block(current.op_type, NO_RULE, where)
            inner = [item for attribute in current.attribute for item in attribute.g.node]
            pending.extend((item, place_of(item, where)) for item in inner)

    def _is_known(self, node: onnx.NodeProto) -> bool:
        domain = domain_of(node.domain)
        if (domain, node.op_type, node.overload) in self.functions:
            return True
        version = self.context.opsets.get(domain, 1)
        known = signature(domain, node.op_type, version)
        return lift.find(domain, node.op_type, version if known is None else known.since) is not None or has_body(
            domain, node.op_type, version
        )

    def _define(self, node: onnx.NodeProto, results: Sequence[Any], place: str) -> None:
        for index, name in enumerate(node.output):
            if name:
                result = results[index] if results else ABSENT
                self.context.names.define(name, result, place)
                self._bear(result)

    def block(self, op: str, reason: str, place: str) -> None:
        """Note why a node cannot be lifted."""
        self.blockers.setdefault((op, reason), []).append(place)

    def apply(self, node: onnx.NodeProto, operands: Sequence[Any]) -> Any:
        """What a node gives: by the model's own function, by a rule, or by the body in its schema."""
        domain = domain_of(node.domain)
        function = self.functions.get((domain, node.op_type, node.overload))
        if function is not None:
            return self.inline(function, operands, self._given(node), node)
        if (domain, node.op_type) in lift.refusals:
            return refuse(lift.refusals[domain, node.op_type])
        version = self.context.opsets.get(domain)
        if version is None:
            return refuse(f"its domain {domain or 'ai.onnx'!r} is not imported")
        known = signature(domain, node.op_type, version)
        entry = lift.find(domain, node.op_type, version if known is None else known.since)
        operands = bind_operands(entry, known, operands)
        SCOPE.version = version
        SCOPE.expand = lambda: self.expand(node, domain, version, operands)
        if entry is None:
            return refuse(NO_RULE) if known is None else self.expand(node, domain, version, operands)
        given = self._given(node)
        if known is not None:
            check_kinds(known, given)
        attributes = {a.name: value_of(a, self.tensors) for a in given}
        return entry.rule(*operands, **bind_attributes(entry, known, attributes))

    def _given(self, node: onnx.NodeProto) -> list[onnx.AttributeProto]:
        """The attributes of a node, those that refer to the function's being replaced by what the call gave."""
        found: list[onnx.AttributeProto] = []
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                bound = self.context.attributes.get(attribute.ref_attr_name)
                if bound is None:
                    continue
                copied = onnx.AttributeProto()
                copied.CopyFrom(bound)
                copied.name = attribute.name
                attribute = copied
            if any(attribute.name == other.name for other in found):
                raise FormatError(f"{place_of(node, self.context.path)} has the attribute {attribute.name!r} twice.")
            found.append(attribute)
        return found

    def expand(self, node: onnx.NodeProto, domain: str, version: int, operands: Sequence[Any]) -> Any:
        """What a node gives, by the body in its schema."""
        given = with_defaults(self._given(node), domain, node.op_type, version)
        bare = onnx.NodeProto()
        bare.CopyFrom(node)
        del bare.attribute[:]
        bare.attribute.extend(given)
        present = list(operands)
        while present and present[-1] is None:
            present.pop()
        function = schema_function(bare, domain, version, present)
        return refuse(NO_RULE) if function is None else self.inline(function, present, given, node, version)

    def inline(
        self,
        function: onnx.FunctionProto,
        operands: Sequence[Any],
        given: Iterable[onnx.AttributeProto],
        node: onnx.NodeProto,
        version: int | None = None,
    ) -> tuple[Any, ...]:
        """Lift a function in place of the node that calls it."""
        outer = self.context
        place = place_of(node, outer.path)
        if len(outer.calls) >= MAX_DEPTH:
            raise LimitError(f"{place}: functions and sub-graphs are nested more than {MAX_DEPTH} deep.")
        if len(operands) > len(function.input):
            raise FormatError(f"{place} gives {len(operands)} inputs to {function.name!r}, with {len(function.input)}.")
        names = Names()
        for index, name in enumerate(function.input):
            names.define(name, operands[index] if index < len(operands) else None, f"the function {function.name!r}")
        attributes = {a.name: a for a in (*function.attribute_proto, *given)}
        opsets = opset_versions(function.opset_import, f"the function {function.name!r}")
        if version is not None:
            opsets = {**outer.opsets, **opsets}
        context = Context(names, opsets, attributes, (*outer.calls, function.name), outer.born, place)
        graph = onnx.GraphProto(name=function.name)
        graph.node.extend(function.node)
        # Bodies that are made for a call leave out what the call does not ask for.
        made = {name for item in function.node for name in item.output}.union(function.input)
        asked = [i < len(node.output) and bool(node.output[i]) for i in range(len(function.output))]
        given_back = [name for name, ask in zip(function.output, asked, strict=True) if ask or name in made]
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in given_back)
        by_name = dict(zip(given_back, self.run(graph, context), strict=True))
        results = tuple(by_name.get(name) for name in function.output)
        if any(isinstance(result, Absent) for result in results):
            refuse("")
        return results

    def body(self, body: Body, arguments: Sequence[Any]) -> tuple[list[Any], set[Node]]:
        """Lift a sub-graph on these arguments; returns its outputs and the nodes that are its own."""
        outer = self.context
        if len(arguments) != len(body.graph.input):
            refuse(f"a sub-graph takes {len(body.graph.input)} inputs and gets {len(arguments)}")
        if len(outer.calls) >= MAX_DEPTH:
            raise LimitError(f"functions and sub-graphs are nested more than {MAX_DEPTH} deep.")
        names = Names(outer.names)
        born = {argument.node for argument in arguments if isinstance(argument, Value) and argument.node.op == "input"}
        for info, argument in zip(body.graph.input, arguments, strict=True):
            names.define(info.name, argument, f"graph {body.graph.name!r}")
        path = PROVENANCE.name or outer.path
        context = replace(outer, names=names, born=_Born(outer.born, born), path=path, calls=(*outer.calls, ""))
        results = self.run(body.graph, context)
        if any(isinstance(result, Absent) for result in results):
            refuse("")
        return results, context.born

    def _bear(self, result: Any) -> None:
        """Note the nodes behind a result as belonging to the graph that is being lifted."""
        if not isinstance(result, Value):
            return
        born = self.context.born
        pending = [result.node]
        while pending:
            node = pending.pop()
            if node not in born and node.op != "parameter" and not (isinstance(born, _Born) and born.is_outer(node)):
                born.add(node)
                pending.extend(value.node for value in node.inputs if value is not None)

    def tensor(self, array: Array) -> Value:
        """A tensor among the attributes of the node that is being lifted, as a value."""
        type = TensorType(DType.of(array.dtype), array.shape)
        if array.size > 1 and (array.size > CONSTANT or type.dtype.is_floating):
            return self.parameters.value(PROVENANCE.name, type, lambda: array)
        return literal(array, type.dtype)

    def settle(self, result: Any) -> Any:
        """A small tensor whose content is known, as a constant or as sizes; any other as it is."""
        if not isinstance(result, Value) or result.node.op in LEAVES:
            return result
        content = self.knowledge.content(result) if _fits(result.type) else None
        if content is None or self.knowledge.is_weight(result) or has_ratios(content):
            return result
        return literal(content, result.dtype)


class _Born(set[Node]):
    """The nodes of a sub-graph, which knows those of the graphs around it."""

    def __init__(self, outer: set[Node], own: Iterable[Node]) -> None:
        super().__init__(own)
        self._outer = outer

    def is_outer(self, node: Node) -> bool:
        """Whether the node belongs to a graph around this one."""
        return node in self._outer or (isinstance(self._outer, _Born) and self._outer.is_outer(node))


def _fits(type: TensorType) -> bool:
    count = 1
    for dim in type.shape:
        if not isinstance(dim, int):
            return False
        count *= dim
    return count <= SETTLED


def _as_results(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def collected(lifter: Lifter) -> list[Blocker]:
    """All blockers of a lift."""
    return [Blocker(op, reason, tuple(places)) for (op, reason), places in lifter.blockers.items()]
