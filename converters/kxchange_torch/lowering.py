"""Tracing the lowering rules: a canonical graph in, a graph of torch calls out.

Rules are plain functions on tensors. They run once, on proxies that record what is called on them and that know the
rank, dtype and symbolic sizes that inference found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx.proxy import GraphAppendingTracer

from kxchange.constant import Constant
from kxchange.dims import Dim, DimExpr
from kxchange.errors import BuildError
from kxchange.graph import Graph, Node, interpret
from kxchange.spec import REGISTRY, as_tuple
from kxchange.types import DType, TensorType
from kxchange_torch.carriers import carriers, holds_positions
from kxchange_torch.dtypes import TORCH, torch_dtype
from kxchange_torch.literals import Literal, cast_literal, literal
from kxchange_torch.program import Program, generate
from kxchange_torch.rules import Rules
from kxchange_torch.sizes import Sizes


class TypedProxy(fx.Proxy):
    """A traced tensor whose rank and dtype are constants, and whose sizes are known as expressions."""

    type: TensorType
    parameter: str | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.type.rank

    @property
    def dtype(self) -> torch.dtype:
        """Element type."""
        return torch_dtype(self.type.dtype)


@dataclass(frozen=True, slots=True)
class Capture:
    """What a traced function needs beside its inputs.

    Attributes:
        kind: ``parameter``, ``constant``, ``symbol`` or ``training``.
        key: Parameter name, `Constant`, symbol name, or None.
    """

    kind: str
    key: Any = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What the functions of one module share while they are traced.

    Attributes:
        rules: The lowering table.
        buffers: Names of the parameters that training does not change.
        leader: A parameter (name, type) whose floating dtype is that of all: dtypes in the graph that equal it are
            read from it at run time, so that `module.half()` reaches casts and new tensors too.
    """

    rules: Rules
    buffers: frozenset[str] = frozenset()
    leader: tuple[str, TensorType] | None = None


CURRENT: ContextVar[Lowering] = ContextVar("CURRENT")
TRAINING = Capture("training")


class Lowering:
    """One graph being traced."""

    def __init__(self, graph: Graph, setting: Setting, outer: Lowering | None = None) -> None:
        self.graph = graph
        self.setting = setting
        self.rules = setting.rules
        self.outer = outer
        self.trace = fx.Graph()
        self.tracer = GraphAppendingTracer(self.trace)
        self.inputs = [self._placeholder(value.type) for value in graph.inputs]
        self.captures: dict[Capture, TypedProxy] = {}
        self.sizes = Sizes(self.inputs, None if outer is None else lambda name: self.capture(Capture("symbol", name)))
        self.node: Node | None = None

    def run(self) -> Program:
        """Trace every node and write the function ``(inputs..., captures...) -> outputs``."""
        with self._current():
            results = interpret(self.graph, self.inputs, self.apply)
            outputs = [self.tensor(result).node for result in results]
        placeholders = [proxy.node for proxy in (*self.inputs, *self.captures.values())]
        return generate(placeholders, outputs)

    @contextmanager
    def _current(self) -> Any:
        token = CURRENT.set(self)
        try:
            yield
        finally:
            CURRENT.reset(token)

    def apply(self, node: Node, operands: list[Any]) -> Sequence[Any]:
        """The values of one node's outputs."""
        if node.op == "parameter":
            return (self.parameter(str(node.attrs["name"]), node.types[0]),)
        if node.op == "full" and not node.types[0].rank:
            return (literal(self.resolve(node.attrs["value"]), node.types[0].dtype),)
        if node.op == "astype" and isinstance(operands[0], Literal):
            return (cast_literal(operands[0], node.attrs["dtype"]),)
        self.node = node
        attrs = {name: self.resolve(value) for name, value in node.attrs.items()}
        if node.op == "reshape":  # the inferred shape, because torch's own -1 fails on empty tensors
            attrs["shape"] = self.resolve(node.types[0].shape)
        wide = carriers(node)
        if wide:
            attrs = {
                name: wide.get(value, value) if isinstance(value, DType) else value for name, value in attrs.items()
            }
        taken = self.operands(node, self._all_carried(node, operands, wide) if wide else operands)
        results = as_tuple(self.rules.entries[node.op].rule(*taken, **attrs))
        if len(results) != len(node.types):
            raise BuildError(f"torch's rule for {node.where} gave {len(results)} values, not {len(node.types)}.")
        if wide:
            results = [self._returned(value, type, wide) for value, type in zip(results, node.types, strict=True)]
        typed = [self.typed(result, type) for result, type in zip(results, node.types, strict=True)]
        for proxy, type in zip(typed, node.types, strict=True):
            self.bind_fresh(type, proxy)
        return typed

    def _all_carried(self, node: Node, operands: Sequence[Any], wide: Mapping[DType, DType]) -> list[Any]:
        return [
            operand if holds_positions(node, position) else self._carried(operand, wide)
            for position, operand in enumerate(operands)
        ]

    def _carried(self, operand: Any, wide: Mapping[DType, DType]) -> Any:
        """An operand in the type that computes for its own."""
        if isinstance(operand, Literal) and operand.dtype in wide:
            return cast_literal(operand, wide[operand.dtype])
        if not isinstance(operand, TypedProxy) or operand.type.dtype not in wide:
            return operand
        dtype = wide[operand.type.dtype]
        return self.typed(operand.to(torch_dtype(dtype)), operand.type.with_dtype(dtype))

    @staticmethod
    def _returned(value: Any, type: TensorType, wide: Mapping[DType, DType]) -> Any:
        return value.to(torch_dtype(type.dtype)) if type.dtype in wide else value

    def operands(self, node: Node, operands: Sequence[Any]) -> list[Any]:
        """Operands as the rule takes them: literals as numbers where it says so, as tensors elsewhere."""
        plain = self.rules.scalars(node.op)
        tensors = [o for o in operands if isinstance(o, fx.Proxy)]
        kept: list[Any] = []
        for position, operand in enumerate(operands):
            if not isinstance(operand, Literal):
                kept.append(operand)
                continue
            model = self._model_for(node, position, operand, tensors)
            # Numbers alone would have torch's default dtype: one of those that share a dtype must be a tensor.
            alone = model is None and is_alike(node, position)
            number = position in plain and bool(tensors) and not alone
            kept.append(operand.value if number else self.tensor(operand, model))
        return kept

    @staticmethod
    def _model_for(node: Node, position: int, operand: Literal, tensors: Sequence[Any]) -> Any:
        """A tensor whose dtype the literal shares by the op's own rule: after `module.half()` it follows."""
        alike = (tensor for tensor in tensors if tensor.type.dtype == operand.dtype)
        return next(alike, None) if is_alike(node, position) else None

    def tensor(self, value: Any, like: TypedProxy | None = None) -> TypedProxy:
        """A traced tensor; a literal is made one, with the dtype and device of `like`."""
        if not isinstance(value, Literal):
            return value
        if like is not None:
            return self.typed(like.new_full((), value.value), value.type)
        return self.typed(create(torch.full, (), value.value, dtype=self.dtype(value.dtype)), value.type)

    def typed(self, value: Any, type: TensorType) -> Any:
        """The value with its inferred type attached."""
        if isinstance(value, Literal) or (isinstance(value, TypedProxy) and value.__dict__.get("type") == type):
            return value
        proxy = TypedProxy(value.node, self.tracer)
        proxy.type = type
        return proxy

    def _placeholder(self, type: TensorType) -> TypedProxy:
        node = self.trace.create_node("placeholder", "x")
        return self.typed(fx.Proxy(node, self.tracer), type)

    def capture(self, needed: Capture, type: TensorType | None = None) -> TypedProxy:
        """The placeholder for something the caller passes in."""
        if needed not in self.captures:
            self.captures[needed] = self._placeholder(type or TensorType(DType.INT64, ()))
        return self.captures[needed]

    def parameter(self, name: str, type: TensorType) -> TypedProxy:
        """The placeholder of a parameter."""
        proxy = self.capture(Capture("parameter", name), type)
        proxy.parameter = name
        return proxy

    def is_buffer(self, value: Any) -> bool:
        """Whether a value is a parameter of the model that training does not change."""
        return isinstance(value, TypedProxy) and value.parameter in self.setting.buffers

    def constant(self, value: Constant) -> Any:
        """A constant tensor, kept beside the function; a single number as a literal."""
        if not value.array.ndim and value.type.dtype in TORCH and not value.type.dtype.is_complex:
            return literal(value.array.item(), value.type.dtype)
        return self.capture(Capture("constant", value), value.type)

    def pass_captures(self, body: Lowering) -> list[Any]:
        """What a sub-graph captured, as values of this function."""
        return [self._provide(needed, proxy.type) for needed, proxy in body.captures.items()]

    def _provide(self, needed: Capture, type: TensorType) -> Any:
        return self.sizes.of_symbol(needed.key) if needed.kind == "symbol" else self.capture(needed, type)

    def resolve(self, value: Any) -> Any:
        """An attribute value with every dim in it as an int or a traced size."""
        if isinstance(value, DimExpr):
            return self.sizes.of(value)
        return tuple(map(self.resolve, value)) if type(value) is tuple else value

    def bind_fresh(self, type: TensorType, proxy: Any) -> None:
        """Read sizes that only a node's data decides from its result; those of inputs are found when needed."""
        for axis, dim in enumerate(type.shape):
            name = dim.lone_atom() if isinstance(dim, DimExpr) else None
            if isinstance(name, str) and name not in self.sizes:
                self.sizes.bind(name, proxy.size(axis))

    def dtype(self, dtype: DType) -> Any:
        """An element type as torch's, or as that of the leading parameter."""
        if self.setting.leader is None or dtype is not self.setting.leader[1].dtype:
            return torch_dtype(dtype)
        leader = self.parameter(*self.setting.leader)
        return self.tracer.create_proxy("call_function", getattr, (leader, "dtype"), {})

    def device(self) -> Any:
        """Where tensors made from nothing go: to the first input, or to the first parameter."""
        for proxy in (*self.inputs, *self.captures.values()):
            return proxy.device
        return None


def is_alike(node: Node, position: int) -> bool:
    """Whether an operand is one of those that share a dtype."""
    spec = REGISTRY[node.op]
    return spec.operands[min(position, len(spec.operands) - 1)] in spec.alike


def create(function: Callable[..., Any], *args: Any, dtype: Any) -> Any:
    """Record a call that makes a tensor from nothing, on the device of the function's inputs."""
    lowering = CURRENT.get()
    return lowering.tracer.create_proxy("call_function", function, args, {"dtype": dtype, "device": lowering.device()})


def is_number(operand: Any) -> bool:
    """Whether an operand of a rule is a number: one known now, or a traced size."""
    return isinstance(operand, (bool, int, float)) or type(operand) is fx.Proxy


def model_dtype(dtype: DType) -> Any:
    """An element type for a cast or a new tensor; it follows the module's parameters to another dtype."""
    return CURRENT.get().dtype(dtype)


def current_node() -> Node:
    """The node whose rule is running."""
    node = CURRENT.get().node
    if node is None:
        raise BuildError("a lowering rule of torch ran outside of a lowering.")
    return node


def output_type(index: int = 0) -> TensorType:
    """The inferred type of an output of the node whose rule is running."""
    return current_node().types[index]


def size(dim: Dim) -> Any:
    """A dim of `output_type` as an int or a traced size."""
    return CURRENT.get().sizes.of(dim)


def training() -> Any:
    """Whether the module is in training mode, as a traced bool."""
    return CURRENT.get().capture(TRAINING)


def is_buffer(value: Any) -> bool:
    """Whether an operand is a buffer of the model."""
    return CURRENT.get().is_buffer(value)


def lower_graph(graph: Graph, setting: Setting) -> tuple[Program, tuple[Capture, ...]]:
    """The function of a legalized graph, and what it takes behind its inputs."""
    lowering = Lowering(graph, setting)
    program = lowering.run()
    return program, tuple(lowering.captures)


def lower_body(graph: Graph) -> tuple[Program, list[Any]]:
    """The function of a sub-graph, ``(inputs..., captures...) -> outputs``, and the captures' values around it."""
    outer = CURRENT.get()
    body = Lowering(graph, outer.setting, outer)
    program = body.run()
    return program, outer.pass_captures(body)
