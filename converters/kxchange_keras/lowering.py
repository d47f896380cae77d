"""Writing a legalized graph as a Functional model: rules are called on Keras's symbolic tensors.

A value on the way is one of four things: a symbolic tensor; an array, where nothing depends on an input; a `Weight`,
where something depends on parameters and on no input; a `Turned` tensor, whose transpose has not been written yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np

from kxchange.dims import Dim, DimExpr
from kxchange.errors import BuildError, KxchangeError
from kxchange.graph import Graph, Node, Value, interpret, placeholder
from kxchange.reference import evaluate_node
from kxchange.spec import as_tuple, dims_of
from kxchange.table import Table
from kxchange.types import DType, TensorType
from kxchange_keras.hosting import Hosts
from kxchange_keras.layers_out import Delayed, Plans
from kxchange_keras.sizes_out import Sizes

Tensor = Any
CURRENT: ContextVar[Lowering] = ContextVar("CURRENT")
COMPARISONS = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
SCALARS = frozenset(("add", "subtract", "multiply", "divide", "maximum", "minimum", "pow", *COMPARISONS))
"""Ops in which a number may stand beside a tensor, whose type it takes."""


SINKING = SCALARS | {"flip", "concat"}
"""Ops that work alike in any order of axes."""


class Weight:
    """An expression on parameters that has not been given to a layer.

    Attributes:
        value: The expression.
    """

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value


class Turned:
    """A transpose that has not been written: what takes it apart again needs none.

    Attributes:
        base: The tensor.
        axes: The permutation.
    """

    __slots__ = ("axes", "base", "made")

    def __init__(self, base: Tensor, axes: tuple[int, ...]) -> None:
        self.base = base
        self.axes = axes
        self.made: Tensor = None


class Lowering:
    """One function of a model on its way to Keras.

    Attributes:
        sizes: Tensors that have a size, by dim.
        node: The node whose rule is running.
    """

    def __init__(self, rules: Table, plans: Plans, hosts: Hosts, sizes: Sizes) -> None:
        self.rules = rules
        self.plans = plans
        self.hosts = hosts
        self.sizes = sizes
        self.node: Node | None = None
        self._written: dict[Value, Tensor] = {}

    def run(self, graph: Graph, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The graph's outputs, as symbolic tensors that depend on the inputs."""
        token = CURRENT.set(self)
        try:
            outputs = interpret(graph, list(inputs), self.apply)
            return tuple(self.tensor(value) for value in outputs)
        finally:
            CURRENT.reset(token)

    def apply(self, node: Node, operands: list[Any]) -> Sequence[Any]:
        """The values of one node's outputs."""
        if node.op == "parameter":
            return (Weight(node.outputs[0]),)
        if node in self.plans.absorbed:
            return (Delayed(operands),)
        if node in self.plans.native:
            results = self.plans.native[node].emit(self, node, operands)
            return self._typed(node, results)
        if node.op == "permute_dims" and isinstance(operands[0], keras.KerasTensor | Turned):
            rank = len(node.types[0].shape)
            return (self.turned(operands[0], tuple(int(axis) % rank for axis in node.attrs["axes"])),)
        if (sunk := self._sunk(node, operands)) is not None:
            return sunk
        if not any(_is_live(operand) for operand in operands) and not any(map(dims_of, node.attrs.values())):
            return self._static(node, operands)
        return self.call(node, operands)

    def call(self, node: Node, operands: Sequence[Any]) -> Sequence[Any]:
        """The values of a node by its rule in the table."""
        before, self.node = self.node, node
        try:
            given = self._given(node, operands)
            results = as_tuple(self.rules.entries[node.op].rule(*given, **node.attrs))
        except KxchangeError:
            raise
        except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
            raise BuildError(f"keras cannot build {node.where}: {str(error)[:400]}") from error
        finally:
            self.node = before
        return self._typed(node, results)

    def _given(self, node: Node, operands: Sequence[Any]) -> list[Any]:
        """What a rule takes: symbolic tensors, arrays with axes, and numbers where the op broadcasts them."""
        symbolic = [_is_live(operand) for operand in operands]
        first = node.op == "where" and not any(symbolic[1:])
        given: list[Any] = []
        for place, operand in enumerate(operands):
            plain = self.plain(operand)
            if isinstance(plain, np.ndarray) and plain.ndim == 0:
                alone = not any(flag for at, flag in enumerate(symbolic) if at != place)
                beside = node.op in SCALARS and not alone
                plain = plain.item() if beside and plain.dtype.kind in "fiu" else self.tensor(plain)
            given.append(self.tensor(plain) if first and place == 1 and plain is not None else plain)
        return given

    def plain(self, value: Any) -> Any:
        """A value as a symbolic tensor or a small array."""
        if isinstance(value, Turned):
            if value.made is None:
                value.made = keras.ops.transpose(value.base, value.axes)
            return value.made
        if isinstance(value, Weight):
            return self.written(value.value)
        if isinstance(value, np.ndarray):
            return self.hosts.constant(value, self.sizes)
        if isinstance(value, Delayed):
            raise BuildError("a product was left to a layer that did not take it. Please report this.")
        return value

    def tensor(self, value: Any) -> Tensor:
        """A value as a symbolic tensor that depends on an input."""
        value = self.plain(value)
        return self.sizes.anchored(value) if isinstance(value, np.ndarray) else value

    def written(self, value: Value) -> Tensor:
        """An expression on parameters, computed in the model: its parameters become variables of their own."""
        if value not in self._written:
            node = value.node
            if node.op == "parameter":
                name = str(node.attrs["name"])
                self._written[value] = self.hosts.parameter(name, value.type, self.sizes)
            else:
                operands = [None if v is None else self._operand(v) for v in node.inputs]
                for output, result in zip(node.outputs, self._settled(node, operands), strict=True):
                    self._written[output] = self.plain(result)
        return self._written[value]

    def _operand(self, value: Value) -> Any:
        node = value.node
        if node.op == "parameter" or any(v is not None for v in node.inputs):
            return self.written(value)
        return evaluate_node(node, [], {})[value.index]

    def _settled(self, node: Node, operands: list[Any]) -> Sequence[Any]:
        if any(_is_live(operand) for operand in operands):
            return self.call(node, operands)
        return evaluate_node(node, operands, {})

    def _static(self, node: Node, operands: list[Any]) -> Sequence[Any]:
        if any(isinstance(operand, Weight) for operand in operands):
            return [Weight(value) for value in node.outputs]
        return evaluate_node(node, operands, {}, budget=2**28)

    def turned(self, operand: Any, axes: tuple[int, ...]) -> Any:
        """A transpose of a tensor, which is written only where something reads it in that order."""
        if not isinstance(operand, Turned | keras.KerasTensor):
            operand = self.tensor(operand)
        if isinstance(operand, Turned):
            axes = tuple(operand.axes[axis] for axis in axes)
            operand = operand.base
        return operand if axes == tuple(range(len(axes))) else Turned(operand, axes)

    def _sunk(self, node: Node, operands: Sequence[Any]) -> Sequence[Any] | None:
        """An op on tensors that all stand in one other order, computed in that order; None where it is not so."""
        if node.op not in SINKING or not operands or not all(isinstance(operand, Turned) for operand in operands):
            return None
        axes = operands[0].axes
        if any(operand.axes != axes for operand in operands):
            return None
        attrs = dict(node.attrs)
        if "axis" in attrs:
            axis = attrs["axis"]
            attrs["axis"] = axes[axis] if isinstance(axis, int) else tuple(axes[at] for at in axis)
        back = [axes.index(at) for at in range(len(axes))]
        types = [type.with_shape(tuple(type.shape[at] for at in back)) for type in node.types]
        kinds = [v.type.with_shape(tuple(v.shape[at] for at in back)) for v in node.inputs if v is not None]
        inputs = tuple(placeholder(f"x{at}", kind) for at, kind in enumerate(kinds))
        inner = Node(node.op, inputs, attrs, tuple(types), node.name, node.source)
        return [Turned(result, axes) for result in self.call(inner, [operand.base for operand in operands])]

    def _typed(self, node: Node, results: Sequence[Any]) -> Sequence[Any]:
        if len(results) != len(node.types):
            raise BuildError(f"keras's rule for {node.where} gave {len(results)} values, not {len(node.types)}.")
        return [self.fitted(node, type, result) for type, result in zip(node.types, results, strict=True)]

    def fitted(self, node: Node, type: TensorType, result: Any) -> Any:
        """A result with the type that was inferred, and with every size that is known.

        Raises:
            BuildError: It has another type.
        """
        if isinstance(result, Turned | np.ndarray):
            return result
        if not isinstance(result, keras.KerasTensor):
            return np.asarray(keras.ops.convert_to_numpy(result)).astype(type.dtype.numpy, copy=False)
        if result.dtype != type.dtype.value:
            result = keras.ops.cast(result, type.dtype.value)
        pairs = list(zip(result.shape, type.shape, strict=False))
        if len(result.shape) != len(type.shape) or any(
            isinstance(dim, int) and size not in (None, dim) for size, dim in pairs
        ):
            raise BuildError(f"keras's rule for {node.where} gave the shape {result.shape}, not {type}.")
        if any(size is None and isinstance(dim, int) for size, dim in pairs):
            from kxchange_keras.shaping_out import reshaped

            result = reshaped(result, type.shape, type.shape)
        self.sizes.note(result, type.shape)
        return result


def _is_live(operand: Any) -> bool:
    """Whether a value depends on an input."""
    return isinstance(operand, keras.KerasTensor | Turned | Delayed)


def lowering() -> Lowering:
    """The lowering whose rule is running."""
    return CURRENT.get()


def output_type(index: int = 0) -> TensorType:
    """The type that was inferred for an output of the node whose rule is running."""
    node = CURRENT.get().node
    assert node is not None
    return node.types[index]


def operand_dims(index: int = 0) -> tuple[Dim, ...]:
    """The sizes of an operand of the node whose rule is running."""
    node = CURRENT.get().node
    assert node is not None
    value = node.inputs[index]
    return () if value is None else tuple(value.shape)


def size(dim: Dim) -> Any:
    """A dim as an int, or as a rank-0 int32 tensor."""
    return dim if isinstance(dim, int) else CURRENT.get().sizes.size(dim)


def count(dim: Dim) -> Tensor:
    """0, 1, 2 ... of a dim's length, int32."""
    return CURRENT.get().sizes.count(dim)


def is_static(dims: Sequence[Any]) -> bool:
    """Whether no dim is symbolic."""
    return not any(isinstance(dim, DimExpr) for dim in dims)


def dtype_of(x: Any) -> DType:
    """The language's name of a tensor's type."""
    return DType(keras.backend.standardize_dtype(x.dtype))


Attributes = Mapping[str, Any]
