"""What an op *is*: one record per op, read from one annotated function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

import numpy as np

from kxchange.dims import Dim, DimExpr
from kxchange.errors import TypeInferenceError
from kxchange.graph import PROVENANCE, Node, Value, placeholder
from kxchange.shapes import collecting
from kxchange.types import DType, TensorType

P = ParamSpec("P")
Rule = Callable[..., Any]
R = TypeVar("R", bound=Rule)
Tensor = Any
"""A Value while a graph is being written, an ndarray while it is being evaluated."""
Scalar = bool | int | float | complex | DimExpr

REGISTRY: dict[str, Op[...]] = {}


class Op(Generic[P]):
    """One op. Called on Values it emits a node; called on arrays it evaluates the reference.

    The signature of the reference is the specification: positional-only parameters are operands (optional ones
    annotated ``Tensor | None = None``, variadic ones ``*xs``), keyword-only ones are attributes.

    Attributes:
        name: Name in graphs and files.
        reference: NumPy implementation, on arrays of the operands' dtypes.
        operands: Names of the operands, in order; a variadic one is last.
        attrs: Attribute names with their defaults (`inspect.Parameter.empty` where required).
        alike: Operands that share one element type; a Python scalar among them takes it.
        widen: Whether the reference computes 8- and 16-bit floats in float32 and rounds its results.
        differentiable: Whether gradients of the outputs with respect to floating operands are defined.
        version: Increased when the meaning changes; old versions stay readable.
    """

    def __init__(
        self, reference: Callable[P, Any], *, alike: Sequence[str] | None, widen: bool, differentiable: bool
    ) -> None:
        self.name = reference.__name__.rstrip("_")
        self.reference = reference
        self.widen = widen
        self.differentiable = differentiable
        self.version = 1
        self.infer_rule: Rule | None = None
        self.decompose_rule: Rule | None = None
        self.signature = inspect.signature(reference)
        self.__doc__ = reference.__doc__
        parameters = tuple(self.signature.parameters.values())
        positional = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]
        self.variadic = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self.operands = tuple(p.name for p in positional) + ((self.variadic,) if self.variadic else ())
        self.required = sum(p.default is p.empty for p in positional)
        self.fixed = len(positional)
        self.attrs: dict[str, Any] = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self._element_types = tuple(p.name for p in parameters if p.annotation in ("DType", DType))
        self.alike = frozenset(self.operands if alike is None else alike)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        """Emit a node (some operand is a Value, or there is no operand at all) or evaluate the reference."""
        if not self.operands or any(isinstance(arg, Value) for arg in args):
            return unpack(self.emit(args, kwargs).outputs)
        return self.reference(*args, **kwargs)

    @property
    def primitive(self) -> bool:
        """Whether every converter must lower this op itself."""
        return self.decompose_rule is None

    def infer(self, rule: R) -> R:
        """Register the type rule: operand types in, result type(s) out."""
        self.infer_rule = rule
        return rule

    def decompose(self, rule: R) -> R:
        """Register the decomposition: Values in, Values out, written in other ops."""
        self.decompose_rule = rule
        return rule

    def emit(self, args: Sequence[Any], attrs: Mapping[str, Any]) -> Node:
        """Make the node, with types inferred and the constraints that inference found."""
        operands = self.bind_operands(args)
        bound = self.bind_attrs(attrs)
        types = [None if value is None else value.type for value in operands]
        with collecting() as constraints:
            results = self.result_types(types, bound)
        return Node(self.name, operands, bound, results, PROVENANCE.name, PROVENANCE.source, tuple(constraints))

    def bind_operands(self, args: Sequence[Any]) -> tuple[Value | None, ...]:
        """Check the count, fill absent optional operands with None and turn Python scalars into `full` nodes."""
        if len(args) < self.required or (self.variadic is None and len(args) > self.fixed):
            raise TypeInferenceError(
                f"{self.name} takes operands ({', '.join(self.operands)}), not {len(args)} of them."
            )
        padded = (*args, *(None,) * (self.fixed - len(args)))
        if any(arg is not None and not isinstance(arg, Value) for arg in padded):
            padded = self._materialize(padded)
        return cast("tuple[Value | None, ...]", padded)

    def _materialize(self, args: Sequence[Any]) -> tuple[Value | None, ...]:
        names = [self.operands[min(i, len(self.operands) - 1)] for i in range(len(args))]
        values = [a for a, n in zip(args, names, strict=True) if isinstance(a, Value) and n in self.alike]
        dtype = values[0].dtype if values else None
        return tuple(
            a if a is None or isinstance(a, Value) else constant_like(a, dtype if n in self.alike else None, self.name)
            for a, n in zip(args, names, strict=True)
        )

    def bind_attrs(self, attrs: Mapping[str, Any]) -> dict[str, Any]:
        """All attributes in signature order, defaults filled in, lists made tuples."""
        if unknown := attrs.keys() - self.attrs.keys():
            raise TypeInferenceError(f"{self.name} has no attribute {sorted(unknown)[0]!r}; it has {list(self.attrs)}.")
        bound: dict[str, Any] = {}
        for name, default in self.attrs.items():
            value = attrs.get(name, default)
            if value is inspect.Parameter.empty:
                raise TypeInferenceError(f"{self.name} needs the attribute {name!r}.")
            bound[name] = freeze(value) if type(value) is list else value
        for name in self._element_types:
            # A text equals the element type that it names, and then has none of its properties.
            if not isinstance(bound[name], DType):
                raise TypeInferenceError(f"{self.name}: {name} is {bound[name]!r}, which is no DType.")
        return bound

    def result_types(self, types: Sequence[TensorType | None], attrs: Mapping[str, Any]) -> tuple[TensorType, ...]:
        """Infer the result types; through the decomposition when there is no type rule."""
        try:
            if self.infer_rule is not None:
                return as_tuple(self.infer_rule(*types, **attrs))
            if self.decompose_rule is None:
                raise TypeInferenceError("the op has neither a type rule nor a decomposition")
            values = [None if t is None else placeholder(f"x{i}", t) for i, t in enumerate(types)]
            return tuple(value.type for value in as_tuple(self.decompose_rule(*values, **attrs)))
        except TypeInferenceError as error:
            if getattr(error, "op", None):
                raise
            listed = ", ".join("None" if t is None else str(t) for t in types)
            where = Node(self.name, (), attrs, (), PROVENANCE.name, PROVENANCE.source).where
            wrapped = TypeInferenceError(f"{self.name}({listed}) on {where}: {error}")
            wrapped.op = self.name  # pyright: ignore[reportAttributeAccessIssue]
            raise wrapped from None

    def evaluate(self, arrays: Sequence[Any], attrs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Run the reference; 8- and 16-bit floats are computed in float32 and rounded once, at the end."""
        if self.widen:
            narrow = next((a.dtype for a in arrays if a is not None and is_narrow(a.dtype)), None)
            if narrow is not None:
                wide = [a.astype(np.float32) if a is not None and is_narrow(a.dtype) else a for a in arrays]
                results = as_tuple(self.reference(*wide, **attrs))  # pyright: ignore[reportCallIssue]
                return tuple(r.astype(narrow) if r.dtype == np.float32 else r for r in map(np.asarray, results))
        return tuple(np.asarray(r) for r in as_tuple(self.reference(*arrays, **attrs)))  # pyright: ignore[reportCallIssue]

    @cached_property
    def operand_count(self) -> tuple[int, int | None]:
        """Fewest and most operands (None: no limit)."""
        return self.required, None if self.variadic else self.fixed

    def __repr__(self) -> str:
        return f"<op {self.name}{self.signature}>"


def is_narrow(dtype: np.dtype) -> bool:
    """Whether a floating dtype has at most 16 bits."""
    return dtype.itemsize <= 2 and dtype.kind in "fV" and DType.of(dtype).is_floating


def as_tuple(out: Any) -> tuple[Any, ...]:
    """A tuple as it is; anything else as a tuple of one."""
    return cast("tuple[Any, ...]", out) if type(out) is tuple else (out,)


def unpack(outputs: tuple[Value, ...]) -> Tensor:
    """The single value of an op with one output, the tuple otherwise."""
    return outputs[0] if len(outputs) == 1 else outputs


def freeze(value: Any) -> Any:
    """Lists as tuples, all the way down."""
    return tuple(freeze(item) for item in cast("list[Any]", value)) if isinstance(value, (list, tuple)) else value


def constant_like(number: Any, dtype: DType | None, op_name: str) -> Value:
    """A rank-0 `full` of a Python number or of a dim; it keeps the number at full precision."""
    if not isinstance(number, (bool, int, float, complex, DimExpr)):
        raise TypeInferenceError(f"{op_name} takes tensors and Python numbers, not {type(number).__name__}.")
    if dtype is None:
        raise TypeInferenceError(f"{op_name} cannot tell the dtype of {number!r}; pass a tensor there.")
    return cast("Value", REGISTRY["full"](shape=(), value=number, dtype=dtype))


@overload
def op(reference: Callable[P, Any], /) -> Op[P]: ...
@overload
def op(
    *, alike: Sequence[str] | None = None, widen: bool = True, differentiable: bool = True
) -> Callable[[Callable[P, Any]], Op[P]]: ...
def op(
    reference: Callable[..., Any] | None = None,
    /,
    *,
    alike: Sequence[str] | None = None,
    widen: bool = True,
    differentiable: bool = True,
) -> Any:
    """Declare an op; see `Op` for the options. Used bare or with options."""

    def declare(function: Callable[..., Any]) -> Op[...]:
        spec = Op(function, alike=alike, widen=widen, differentiable=differentiable)
        if spec.name in REGISTRY:
            first = REGISTRY[spec.name].reference.__module__
            raise ValueError(f"op {spec.name!r} is declared in {first} and again in {function.__module__}")
        REGISTRY[spec.name] = spec
        return spec

    return declare if reference is None else declare(reference)


def apply_op(node: Node, operands: Sequence[Value | None]) -> tuple[Value, ...]:
    """Emit `node`'s op again on other operands, with its attributes, name and source."""
    before = PROVENANCE.name, PROVENANCE.source
    PROVENANCE.name, PROVENANCE.source = node.name, node.source
    try:
        return REGISTRY[node.op].emit(operands, node.attrs).outputs
    finally:
        PROVENANCE.name, PROVENANCE.source = before


def keep(node: Node, operands: tuple[Value | None, ...]) -> tuple[Value, ...]:
    """The node itself where its operands are unchanged; otherwise the same op on the new operands.

    Types are inferred again only where an operand's type changed.
    """
    if operands == node.inputs:
        return node.outputs
    same_types = all(
        new is old or (new is not None and old is not None and new.type == old.type)
        for new, old in zip(operands, node.inputs, strict=True)
    )
    if same_types:
        return Node(node.op, operands, node.attrs, node.types, node.name, node.source, node.constraints).outputs
    return apply_op(node, operands)


def dims_of(value: Any) -> list[Dim]:
    """Every dim expression in an attribute value."""
    if isinstance(value, DimExpr):
        return [value]
    return [dim for item in cast("tuple[Any, ...]", value) for dim in dims_of(item)] if isinstance(value, tuple) else []
