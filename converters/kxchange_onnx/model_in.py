"""From a ModelProto to a model of the language."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import onnx

import kxchange
from kxchange import ops
from kxchange.constant import Constant
from kxchange.constraints import Constraint
from kxchange.dims import symbols
from kxchange.errors import Blocker, FormatError, UnsupportedOpError
from kxchange.fresh import numbering
from kxchange.graph import Graph, Value, placeholder
from kxchange.known import Knowledge
from kxchange.model import Array, Function, Model, Parameter, Role
from kxchange.types import DType
from kxchange_onnx.external_in import ExternalFolder
from kxchange_onnx.functions_in import local_functions
from kxchange_onnx.lift import EMPTY, Absent, Items
from kxchange_onnx.lifting import Lifter, collected
from kxchange_onnx.names_in import Context, Names, opset_versions
from kxchange_onnx.parameters_in import Parameters, read_names, weight_roles
from kxchange_onnx.records_in import Records
from kxchange_onnx.tensors_in import TensorReader
from kxchange_onnx.texts_in import check_texts
from kxchange_onnx.types_in import DimReader, tensor_type

ADVICE = "kx check lists blockers without converting; kxchange_onnx.lift is the table that rules are added to."


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller may say about the model to be read.

    Attributes:
        dynamic: Dims by input name; None entries keep the file's.
        constants: Arrays by input name: these inputs become constants.
        trainable: Names of the trainable parameters, where the rule is not to decide.
    """

    dynamic: Mapping[str, Sequence[Any]] = field(default_factory=dict[str, Sequence[Any]])
    constants: Mapping[str, Array] = field(default_factory=dict[str, Array])
    trainable: Collection[str] | None = None


def read_model(
    proto: onnx.ModelProto,
    who: str,
    folder: ExternalFolder,
    request: Request,
    spans: dict[str, memoryview] | None = None,
) -> Model:
    """Lift a whole model.

    Raises:
        FormatError: The file contradicts itself or ONNX.
        UnsupportedOpError: Operators without a lift, all of them, each with its places.
    """
    try:
        check_texts(proto)
        return _Reader(proto, folder, request, spans).model(who)
    except FormatError as error:
        raise type(error)(f"{who}: {error}") from None


class _Reader:
    def __init__(
        self, proto: onnx.ModelProto, folder: ExternalFolder, request: Request, spans: dict[str, memoryview] | None
    ) -> None:
        self.proto = proto
        self.request = request
        self.tensors = TensorReader(folder, spans)
        self.records = Records(proto)
        own = proto.producer_name == "kxchange"
        self.parameters = Parameters(own=own, stated=self.records.names("parameters") if own else ())
        # What this converter wrote says which tensors are parameters: integers are not taken for sizes there.
        knowledge = Knowledge(self.parameters.array, keep=own)
        self.knowledge = knowledge
        self.lifter = Lifter(self.tensors, knowledge, local_functions(proto), self.parameters, self.initializer)

    def initializer(self, tensor: onnx.TensorProto, context: Context) -> Value:
        """A tensor of the file as a value."""
        type = self.tensors.check(tensor)
        name = self.records.renamed.get(tensor.name, tensor.name) if not context.calls else tensor.name
        return self.parameters.value(name, type, partial(self.tensors.array, tensor))

    def model(self, who: str) -> Model:
        """The model.

        Raises:
            UnsupportedOpError: Operators without a lift.
        """
        graph_proto = self.proto.graph
        opsets = opset_versions(self.proto.opset_import, "the model")
        if not opsets and graph_proto.node:
            raise FormatError("the model imports no opset, so its operators have no meaning.")
        names = Names()
        inputs = self._inputs(names)
        with numbering(symbol for value in inputs for dim in value.shape for symbol in symbols(dim)):
            results = self.lifter.run(graph_proto, Context(names, opsets, born={value.node for value in inputs}))
        outputs = Outputs()
        tree = {item.name: outputs.add(item.name, r) for item, r in zip(graph_proto.output, results, strict=True)}
        self._check(outputs, who)
        graph = _canonical(Graph(tuple(inputs), tuple(outputs.values)))
        structure = tree if any(isinstance(branch, list) for branch in tree.values()) else None
        function = Function(graph, tuple(outputs.names), self.records.texts("updates"), structure)
        return Model(
            {graph_proto.name if self.parameters.own and graph_proto.name else "main": function},
            self._parameters(graph),
            constraints=self._constraints(function),
            metadata=self._metadata(),
            provenance=self._provenance(opsets),
        )

    def _inputs(self, names: Names) -> list[Value]:
        """The inputs of the graph: those with an initializer have a value already and are none."""
        graph = self.proto.graph
        initialized = {tensor.name for tensor in graph.initializer}
        initialized |= {sparse.values.name for sparse in graph.sparse_initializer}
        infos = [info for info in graph.input if info.name not in initialized]
        unknown = (self.request.dynamic.keys() | self.request.constants.keys()) - {info.name for info in infos}
        if unknown:
            listed = [info.name for info in infos]
            raise FormatError(f"the model has no input {sorted(unknown)[0]!r}; it has {listed}.")
        dims = DimReader(infos)
        inputs: list[Value] = []
        for info in infos:
            if info.name in self.request.constants:
                value = _bound(self.request.constants[info.name])
            else:
                value = placeholder(info.name, tensor_type(info, dims, self.request.dynamic.get(info.name)))
                inputs.append(value)
            names.define(info.name, value, "the input list")
        return inputs

    def _check(self, outputs: Outputs, who: str) -> None:
        for name in outputs.empty:
            self.lifter.block(
                "output", "it is no tensor, but an empty optional or a sequence of unknown length", repr(name)
            )
        blockers: list[Blocker] = collected(self.lifter)
        if blockers:
            raise UnsupportedOpError(f"kxchange reading {who}", blockers, ADVICE)

    def _parameters(self, graph: Graph) -> list[Parameter]:
        """The parameters with their roles; integers that only said how large or where to are part of the graph."""
        read = read_names(graph)
        roles = weight_roles(graph)
        trains: Mapping[str, bool] = {}
        if self.parameters.own:
            for tensor in self.records.unread():
                self.parameters.keep(tensor.name, self.tensors.check(tensor), partial(self.tensors.array, tensor))
            roles = {name: self.records.role(name) for name in self.parameters.entries}
            trains = self.records.flags("trainable")
        found: list[Parameter] = []
        for name, entry in self.parameters.entries.items():
            if name not in read and name in self.knowledge.read:
                continue
            role = roles.get(name, Role.CONSTANT)
            if self.request.trainable is not None:
                role = Role.PARAMETER if name in self.request.trainable else _frozen(role)
            found.append(entry.replace(role=role, trainable=trains.get(name, role is Role.PARAMETER)))
        return self.records.completed(found)

    def _constraints(self, function: Function) -> list[Constraint]:
        """Stated conditions; those that the nodes make themselves are not stated again."""
        own = [constraint for _, constraint in function.node_constraints()]
        stated = self.records.constraints()
        return [one for one in stated if not any(one.says_same(other) for other in own)]

    def _metadata(self) -> dict[str, str]:
        described = {"doc_string": self.proto.doc_string, "graph_doc_string": self.proto.graph.doc_string}
        return {**self.records.metadata, **self.lifter.notes, **{key: text for key, text in described.items() if text}}

    def _provenance(self, opsets: Mapping[str, int]) -> dict[str, Any]:
        return {
            "format": "onnx",
            "ir_version": self.proto.ir_version,
            "opsets": {domain or "ai.onnx": version for domain, version in opsets.items()},
            "producer": f"{self.proto.producer_name} {self.proto.producer_version}".strip(),
            "kxchange": kxchange.__version__,
        }


class Outputs:
    """The tensors that a model gives back: those of a sequence are called after it, with their number.

    Attributes:
        names: Names of the tensors.
        values: The tensors.
        empty: Names of outputs that are no tensor at all.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.values: list[Value] = []
        self.empty: list[str] = []

    def add(self, name: str, result: Any) -> Any:
        """Take over one output; returns its place in the output tree."""
        if isinstance(result, Items):
            return [self.add(f"{name}.{index}", item) for index, item in enumerate(result.values)]
        if isinstance(result, Value):
            self.names.append(name)
            self.values.append(result)
        elif not isinstance(result, Absent):
            self.empty.append(name)
        return {"output": name}


def _bound(given: Any) -> Any:
    """An input that the caller gave a value: an array, a list of them for a sequence, None for an empty optional."""
    if given is None:
        return EMPTY
    if isinstance(given, list | tuple):
        return Items(tuple(_bound(item) for item in given))
    given = np.asarray(given)
    DType.of(given.dtype)
    return ops.constant(value=Constant(given))


def _frozen(role: Role) -> Role:
    return Role.CONSTANT if role is Role.PARAMETER else role


def _canonical(graph: Graph) -> Graph:
    """The graph in its canonical form."""
    try:
        from kxchange.passes.canonicalize import canonicalize
    except ImportError:
        return graph
    return canonicalize(graph)
