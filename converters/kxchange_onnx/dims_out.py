"""Sizes in an ONNX graph: constants where they are known, one `Shape` node per symbol where they are not.

Every expression is computed once, in the scope that its symbols belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from kxchange.dims import Call, Dim, DimExpr, is_nonnegative, symbol, symbols
from kxchange.errors import BuildError
from kxchange.types import DType, TensorType
from kxchange_onnx.opsets import target
from kxchange_onnx.writing import CURRENT, Scope, constant, emit, set_type

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)


def bind_symbols(value: ir.Value, type: TensorType) -> None:
    """Take the sizes of `value` as those of its symbols, unless they are known from an axis that is the symbol."""
    scope = CURRENT.get().scope
    for axis, dim in enumerate(type.shape):
        if isinstance(dim, int):
            continue
        atom = dim.lone_atom()
        for name in symbols(dim) if atom is None or isinstance(atom, Call) else (atom,):
            known = _origin(scope, name)
            if known is None or (atom == name and known[2].lone_atom() != name):
                scope.origins[name] = (value, axis, dim)


def is_bound(name: str) -> bool:
    """Whether the size of a symbol can be computed here."""
    return _origin(CURRENT.get().scope, name) is not None


def _origin(scope: Scope, name: str) -> tuple[ir.Value, int, DimExpr] | None:
    for outer in scope.chain():
        if name in outer.origins:
            return outer.origins[name]
    return None


def vector(dims: Sequence[Dim]) -> ir.Value:
    """The dims as one int64 vector."""
    if all(isinstance(dim, int) for dim in dims):
        return constant(np.array(dims, dtype=np.int64).reshape(len(dims)))
    pieces: list[list[int] | DimExpr] = []
    for dim in dims:
        if isinstance(dim, DimExpr):
            pieces.append(dim)
        elif pieces and isinstance(pieces[-1], list):
            pieces[-1].append(dim)
        else:
            pieces.append([dim])
    values = [size(piece) if isinstance(piece, DimExpr) else constant(piece) for piece in pieces]
    return values[0] if len(values) == 1 else emit("Concat", *values, axis=0)


def size(dim: Dim) -> ir.Value:
    """One dim as an int64 vector of one element."""
    if isinstance(dim, int):
        return constant([dim])
    scope = _scope_of(dim)
    if dim not in scope.sizes:
        scope.sizes[dim] = _named(_in_scope(scope, _compute, dim), f"size.{dim}")
    return scope.sizes[dim]


def scalar(dim: Dim) -> ir.Value:
    """One dim as an int64 scalar."""
    if isinstance(dim, int):
        return constant(dim)
    scope = _scope_of(dim)
    if dim not in scope.scalars:
        squeezed = _in_scope(scope, lambda d: _typed(emit("Squeeze", size(d), constant([0])), ()), dim)
        scope.scalars[dim] = _named(squeezed, f"scalar.{dim}")
    return scope.scalars[dim]


def _scope_of(dim: DimExpr) -> Scope:
    """The innermost scope that one of the dim's symbols is bound in: outside of it the dim cannot be computed."""
    needed = symbols(dim)
    for scope in CURRENT.get().scope.chain():
        if needed & scope.origins.keys():
            return scope
    raise BuildError(f"onnx cannot compute the size {dim}: no input or value has it. This is an error in kxchange.")


def _in_scope(scope: Scope, compute: Any, dim: DimExpr) -> ir.Value:
    """Compute a dim among the nodes of an outer scope, where bodies can read it."""
    writer = CURRENT.get()
    inner, writer.scope = writer.scope, scope
    try:
        return compute(dim)
    finally:
        writer.scope = inner


def _named(value: ir.Value, name: str) -> ir.Value:
    if value.name is None:
        value.name = CURRENT.get().unique(name)
    return value


def _typed(value: ir.Value, shape: tuple[int, ...]) -> ir.Value:
    set_type(value, TensorType(DType.INT64, shape))
    return value


def _compute(dim: DimExpr) -> ir.Value:
    atom = dim.lone_atom()
    if isinstance(atom, str):
        return _symbol(atom)
    if isinstance(atom, Call):
        return _call(atom)
    total: ir.Value | None = None
    for monomial, coefficient in dim.terms:
        term = _term(monomial, coefficient)
        total = term if total is None else _arithmetic("Add", total, term)
    if dim.constant and total is not None:
        total = _arithmetic("Add", total, constant([dim.constant]))
    return constant([dim.constant]) if total is None else total


def _term(monomial: Any, coefficient: int) -> ir.Value:
    factors = [size(DimExpr(((((atom, 1),), 1),), 0)) for atom, exponent in monomial for _ in range(exponent)]
    if coefficient != 1:
        factors.append(constant([coefficient]))
    product = factors[0]
    for factor in factors[1:]:
        product = _arithmetic("Mul", product, factor)
    return product


def _arithmetic(op_type: str, *operands: ir.Value) -> ir.Value:
    return _typed(emit(op_type, *operands), (1,))


def _call(call: Call) -> ir.Value:
    operands = [size(operand) for operand in call.operands]
    if call.kind in ("max", "min"):
        return _arithmetic(call.kind.capitalize(), *operands)
    left, right = operands
    if call.kind == "mod":
        return _arithmetic("Mod", left, right)
    # Not by the ranges that are known here: who reads the file must see it, too.
    if not all(is_nonnegative(operand, {}) for operand in call.operands):
        left = _arithmetic("Sub", left, _arithmetic("Mod", left, right))  # Div truncates where `//` floors
    return _arithmetic("Div", left, right)


def _symbol(name: str) -> ir.Value:
    origin = _origin(CURRENT.get().scope, name)
    if origin is None:
        raise BuildError(f"onnx cannot compute the size {name}: no input axis has it. Declare one that is {name}.")
    value, axis, dim = origin
    found = _axis_size(value, axis)
    return found if dim.lone_atom() == name else _solved(name, dim, found)


def _axis_size(value: ir.Value, axis: int) -> ir.Value:
    if target() >= 15:
        return _typed(emit("Shape", value, start=axis, end=axis + 1), (1,))
    return _typed(emit("Gather", emit("Shape", value), constant([axis]), axis=0), (1,))


def _solved(name: str, dim: DimExpr, found: ir.Value) -> ir.Value:
    """The symbol, from an axis that is linear in it: where an axis is ``2*name+past``, it is (axis - past) / 2."""
    own = [(monomial, factor) for monomial, factor in dim.terms if name in symbols(DimExpr(((monomial, factor),), 0))]
    if len(own) != 1 or own[0][0] != ((name, 1),):
        raise BuildError(f"onnx cannot solve {dim} for {name}. Declare an input axis that is {name} itself.")
    factor = own[0][1]
    rest = dim - symbol(name) * factor
    if rest != 0:
        found = _arithmetic("Sub", found, size(rest))
    return found if factor == 1 else _arithmetic("Div", found, constant([factor]))
