"""Dims and constraints of a model as JAX writes them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

import jax
from jax import export

from kxchange.constraints import Constraint
from kxchange.dims import evaluate, symbols
from kxchange.model import Function, Model
from kxchange_jax.private import largest, smallest


def symbolic_inputs(model: Model, function: Function) -> dict[str, jax.ShapeDtypeStruct]:
    """A function's inputs with symbolic sizes under the model's constraints: what `jax.export` traces with."""
    types = function.input_types
    names = sorted({name for type in types.values() for dim in type.shape for name in symbols(dim)})
    spelled = {name: f"d{index}" if "." in name else name for index, name in enumerate(names)}
    free = dict(zip(names, export.symbolic_shape(",".join(spelled[name] for name in names)), strict=True))
    conditions = [*model.constraints, *(constraint for _, constraint in function.node_constraints())]
    known = [condition for condition in conditions if condition.symbols <= free.keys()]
    written = list(dict.fromkeys(text for condition in known for text in spell(condition, free)))
    scope = export.SymbolicScope(written) if names else None
    shapes = export.symbolic_shape(",".join(spelled[name] for name in names), scope=scope)
    dims = dict(zip(names, shapes, strict=True))
    return {
        name: jax.ShapeDtypeStruct(tuple(jax_dim(dim, dims) for dim in type.shape), type.dtype.numpy)
        for name, type in types.items()
    }


def jax_dim(dim: Any, sizes: dict[str, Any]) -> Any:
    """A dim over JAX's symbolic sizes."""
    return evaluate(dim, sizes, maximum=lambda *d: reduce(largest, d), minimum=lambda *d: reduce(smallest, d))


def spell(condition: Constraint, sizes: dict[str, Any]) -> Iterable[str]:
    """A constraint as JAX's scopes read it; nothing where it says nothing about symbols."""
    left, right = jax_dim(condition.left, sizes), jax_dim(condition.right, sizes)
    if isinstance(left, int) and isinstance(right, int):
        return
    if condition.kind == "divides":
        yield f"mod({right}, {left}) == 0"
        yield f"mod({right}, {-left}) == 0"  # a shape with -1 asks for this one
    else:
        yield f"{left} {'>=' if condition.kind == 'at_least' else '=='} {right}"
