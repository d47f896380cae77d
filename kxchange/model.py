"""A model: named functions over shared parameters, with where it came from and how it was proven."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import NDArray

from kxchange.dims import symbols
from kxchange.errors import InputError, WeightError
from kxchange.graph import Graph, Node
from kxchange.shapes import Constraint
from kxchange.types import DType, TensorType

if TYPE_CHECKING:
    from os import PathLike

Array = NDArray[Any]


class Role(StrEnum):
    """What a named tensor is in its source; kept through every conversion."""

    PARAMETER = "parameter"
    BUFFER = "buffer"
    CONSTANT = "constant"
    STATE = "state"


class Parameter:
    """One named tensor of a model; its bytes may still be on disk.

    Attributes:
        name: The source's name, for example ``encoder.0.weight``.
        type: Element type and (concrete) shape.
        role: `Role` of the tensor in its source.
        trainable: Whether the source would update it in training.
        alias_of: The first registered name of a tied tensor, if this is another name of it.
    """

    __slots__ = ("_data", "alias_of", "name", "role", "trainable", "type")

    def __init__(
        self,
        name: str,
        data: Array | Callable[[], Array],
        *,
        type: TensorType | None = None,
        role: Role = Role.PARAMETER,
        trainable: bool | None = None,
        alias_of: str | None = None,
    ) -> None:
        if type is None:
            if callable(data):
                raise WeightError(f"parameter {name!r} needs a type, because its data is read later.")
            type = TensorType(DType.of(data.dtype), data.shape)
        self.name = name
        self.type = type
        self.role = role
        self.trainable = role is Role.PARAMETER if trainable is None else trainable
        self.alias_of = alias_of
        self._data = data

    @property
    def array(self) -> Array:
        """The values, zero-copy where the source allows; read-only by contract."""
        return self._data() if callable(self._data) else self._data

    @property
    def nbytes(self) -> int:
        """Size in bytes of the values as NumPy holds them."""
        return math.prod(cast("tuple[int, ...]", self.type.shape)) * self.type.dtype.numpy.itemsize

    def replace(self, **changes: Any) -> Parameter:
        """A copy with some fields changed (`name`, `data`, `type`, `role`, `trainable`, `alias_of`)."""
        fields: dict[str, Any]
        data = changes.pop("data", self._data)
        name = changes.pop("name", self.name)
        fields = {"type": self.type, "role": self.role, "trainable": self.trainable, "alias_of": self.alias_of}
        return Parameter(name, data, **(fields | changes))

    def __repr__(self) -> str:
        tied = f" = {self.alias_of}" if self.alias_of else ""
        return f"<{self.role} {self.name}: {self.type}{tied}>"


@dataclass(frozen=True, slots=True)
class Function:
    """One entry point of a model.

    Attributes:
        graph: Inputs are `input` nodes, which carry their names.
        output_names: One name per graph output: the source's output tree joined by dots.
        updates: For each output that is the next value of a state: output name -> name of the input or parameter.
        structure: The output tree: dicts and lists whose leaves are ``{"output": name}`` or ``{"value": constant}``;
            None where a name for each is all there is to say.
    """

    graph: Graph
    output_names: tuple[str, ...]
    updates: Mapping[str, str] = field(default_factory=dict[str, str])
    structure: Any = None

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(str(value.node.attrs["name"]) for value in self.graph.inputs)

    @property
    def input_types(self) -> dict[str, TensorType]:
        """Type per input name."""
        return {name: value.type for name, value in zip(self.input_names, self.graph.inputs, strict=True)}

    @property
    def output_types(self) -> dict[str, TensorType]:
        """Type per output name."""
        return {name: value.type for name, value in zip(self.output_names, self.graph.outputs, strict=True)}

    @property
    def dims(self) -> tuple[str, ...]:
        """Symbols of the input shapes, in order of appearance."""
        found = [s for value in self.graph.inputs for dim in value.shape for s in sorted(symbols(dim))]
        return tuple(dict.fromkeys(found))

    def with_graph(self, graph: Graph) -> Function:
        """The same signature over another graph."""
        return Function(graph, self.output_names, self.updates, self.structure)

    def describe(self, name: str) -> str:
        """Its signature in one line, under a name."""
        inputs, outputs = (
            ", ".join(f"{key}: {type}" for key, type in types.items())
            for types in (self.input_types, self.output_types)
        )
        return f"{name}({inputs}) -> ({outputs})"

    def node_constraints(self) -> list[tuple[Node, Constraint]]:
        """Every constraint that inference found and could not prove, with its node."""
        return [(node, constraint) for node in self.graph.nodes() for constraint in node.constraints]


class Model:
    """A model in the canonical language.

    Attributes:
        functions: Entry points by name; the first (usually ``main``) is the default.
        parameters: Named tensors in source order, whether or not a node reads them.
        constraints: What must hold of the dims: ranges and equalities given by the user or by the source's guards.
        metadata: Free text of the source (author, licence, labels ...), by key.
        provenance: Where the model came from: source format, versions, tool version.
        evidence: Records of validations of exactly these weights and this graph.
        origin: The live object that was captured, with its example call; not saved. Lets validation run the source.
        samples: Recorded input and output cases: ``{"function", "inputs": {...}, "outputs": {...}}``.
    """

    def __init__(
        self,
        functions: Mapping[str, Function],
        parameters: Mapping[str, Parameter] | Iterable[Parameter] = (),
        *,
        constraints: Iterable[Constraint] = (),
        metadata: Mapping[str, str] | None = None,
        provenance: Mapping[str, Any] | None = None,
        evidence: Iterable[Mapping[str, Any]] = (),
        samples: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        if not functions:
            raise InputError("a model needs at least one function.")
        if isinstance(parameters, Mapping):
            parameters = cast("Mapping[str, Parameter]", parameters).values()
        self.functions: dict[str, Function] = dict(functions)
        self.parameters: dict[str, Parameter] = {p.name: p for p in parameters}
        self.constraints = tuple(constraints)
        self.metadata: dict[str, str] = dict(metadata or {})
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.evidence: list[dict[str, Any]] = [dict(record) for record in evidence]
        self.samples: list[dict[str, Any]] = [dict(sample) for sample in samples]
        self.origin: Any = None

    @property
    def main(self) -> Function:
        """The default function: ``main``, or the first."""
        return self.functions.get("main") or next(iter(self.functions.values()))

    @property
    def input_names(self) -> tuple[str, ...]:
        """Input names of the default function."""
        return self.main.input_names

    @property
    def output_names(self) -> tuple[str, ...]:
        """Output names of the default function."""
        return self.main.output_names

    @property
    def dims(self) -> tuple[str, ...]:
        """Symbolic dims of all inputs, in order of appearance."""
        return tuple(dict.fromkeys(name for function in self.functions.values() for name in function.dims))

    @property
    def home(self) -> str:
        """Whose layout and names the parameters have: a backend or a format; empty where nobody knows.

        What another framework only passed on (torch to JAX and back) keeps its first home.
        """
        return str(
            next((self.provenance[key] for key in ("home", "backend", "format") if self.provenance.get(key)), "")
        )

    def function(self, name: str | None = None) -> Function:
        """The function called `name`, or the default one."""
        if name is None:
            return self.main
        if name not in self.functions:
            raise InputError(f"the model has no function {name!r}; it has {', '.join(self.functions)}.")
        return self.functions[name]

    def array(self, name: str) -> Array:
        """Values of the parameter `name`; a tied name gives its first name's values."""
        entry = self.parameters[name]
        return self.parameters[entry.alias_of].array if entry.alias_of else entry.array

    def replace(self, **changes: Any) -> Model:
        """A copy with some attributes changed. Evidence is dropped when functions or parameters change."""
        fields: dict[str, Any] = {
            "functions": self.functions,
            "parameters": self.parameters,
            "constraints": self.constraints,
            "metadata": self.metadata,
            "provenance": self.provenance,
            "evidence": [] if {"functions", "parameters"} & changes.keys() else self.evidence,
            "samples": self.samples,
        }
        return Model(**(fields | changes))

    def map_graphs(self, change: Callable[[Graph], Graph]) -> Model:
        """The model with `change` applied to the graph of every function."""
        return self.replace(functions={n: f.with_graph(change(f.graph)) for n, f in self.functions.items()})

    def to(self, backend: str, **options: Any) -> Any:
        """Build a live object of `backend`: an `nn.Module`, a `JaxModel`, an `onnx.ModelProto` and so on."""
        from kxchange.converter import converter

        return converter(backend).build(self, **options)

    def save(self, path: str | PathLike[str], **options: Any) -> None:
        """Write the model to `path`; see `kxchange.save`."""
        from kxchange.hub import save

        save(self, path, **options)

    def __call__(self, /, *, function: str | None = None, **inputs: Any) -> dict[str, Array]:
        """Run the NumPy reference: arrays by input name in, arrays by output name out."""
        from kxchange.hub import run

        return run(self, inputs, backend="numpy", function=function)

    def __repr__(self) -> str:
        signatures = [f"  {function.describe(name)}" for name, function in self.functions.items()]
        count = sum(p.nbytes for p in self.parameters.values() if p.alias_of is None)
        return "\n".join([f"<kxchange Model: {len(self.parameters)} parameters, {count:,} bytes", *signatures]) + ">"
