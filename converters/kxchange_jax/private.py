"""Every private or renamed API of JAX that the converter uses, in one place; each has a test that names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
from jax._src import core, source_info_util
from jax._src.interpreters import mlir
from jax._src.lax import linalg, special
from jax._src.random import core as random_core
from jax._src.random import prng, threefry2x32
from jax.extend.core import jaxpr_as_fun
from jaxlib.mlir import ir as mlir_ir
from jaxlib.mlir.dialects import stablehlo

from kxchange.dims import Dim, dim_max, dim_min, parse_dim, substitute, symbol


def wide_integers() -> AbstractContextManager[None]:
    """A context in which 64-bit types are 64-bit types: without it JAX cuts them to 32, without a warning.

    Public as `jax.enable_x64` from 0.8 on.
    """
    return jax.enable_x64(True)


ir, dialect = mlir_ir, stablehlo
"""The bindings of MLIR and of StableHLO that ship with jaxlib."""


def mlir_context() -> Any:
    """A context in which StableHLO modules can be parsed."""
    return mlir.make_ir_context()


def largest(first: Any, second: Any) -> Any:
    """The larger of two sizes, symbolic ones too; the built-in `max` compares, which a symbolic size refuses."""
    return core.max_dim(first, second)


def smallest(first: Any, second: Any) -> Any:
    """The smaller of two sizes, symbolic ones too."""
    return core.min_dim(first, second)


def is_traced(value: Any) -> bool:
    """Whether a value is known to a tracer only."""
    return isinstance(value, core.Tracer)


def size_as_value(size: Any) -> Any:
    """A size as a rank-0 integer array."""
    return core.dimension_as_value(size)


def key_text(key: Any) -> str:
    """One step of a pytree path as text: a dict's key, a sequence's position, an attribute's name."""
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def is_symbolic(size: Any) -> bool:
    """Whether a size is one of JAX's expressions."""
    return type(size).__name__ == "_DimExpr"


def dim_of(size: Any, names: Mapping[str, str]) -> Dim:
    """One of JAX's sizes in our normal form; by its printed form where its inside is not as expected.

    Args:
        size: An int or an expression.
        names: Our name for each of JAX's symbols.
    """
    if not is_symbolic(size):
        return int(size)
    try:
        return _from_terms(size, names)
    except (AttributeError, ValueError, TypeError):
        return substitute(parse_dim(str(size)), {new: symbol(old) for new, old in names.items()})


def _from_terms(size: Any, names: Mapping[str, str]) -> Dim:
    total: Dim = 0
    for term, coefficient in size._sorted_terms:
        product: Dim = int(coefficient)
        for factor, power in term._factors:
            for _ in range(power):
                product = product * _from_factor(factor, names)
        total = total + product
    return total


def _from_factor(factor: Any, names: Mapping[str, str]) -> Dim:
    if factor.var is not None:
        return symbol(names.get(factor.var, factor.var))
    first, second = (dim_of(operand, names) for operand in factor.operands)
    operations = {
        "floordiv": lambda a, b: a // b,
        "mod": lambda a, b: a % b,
        "max": dim_max,
        "min": dim_min,
    }
    return operations[factor.operation](first, second)


def user_place(eqn: Any, is_user: Callable[[str], bool]) -> tuple[str, int]:
    """File and line of the innermost frame of an equation's traceback that is the user's; ``("", 0)`` without one."""
    for frame in source_info_util.user_frames(eqn.source_info.traceback):
        if is_user(frame.file_name):
            return frame.file_name, int(frame.start_line)
    return "", 0


def name_stack(eqn: Any) -> str:
    """Scopes that an equation was traced in: Linen's module path, and transformations around it."""
    return str(eqn.source_info.name_stack)


def is_key(dtype: Any) -> bool:
    """Whether a dtype is that of random keys."""
    return jnp.issubdtype(dtype, jax.dtypes.prng_key)


def key_words(dtype: Any) -> tuple[int, ...]:
    """Shape of the state of one random key."""
    return tuple(dtype._impl.key_shape)


def physical(aval: Any) -> jax.ShapeDtypeStruct:
    """The abstract value that a tracer takes for another; random keys as the words of their state."""
    if is_key(aval.dtype):
        return jax.ShapeDtypeStruct((*aval.shape, *key_words(aval.dtype)), "uint32")
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype)


def key_of(words: Any, dtype: Any) -> Any:
    """Random keys of a dtype from the words of their states."""
    return prng.random_wrap(words, impl=dtype._impl)


def _per_key(eqn: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one key, mapped over the axes of the equation's keys."""
    return prng.iterated_vmap_unary(eqn.invars[0].aval.ndim, function)


def _implementation(eqn: Any) -> Any:
    """How the equation's keys make numbers."""
    return eqn.params.get("impl") or eqn.invars[0].aval.dtype._impl


def _fold_in(eqn: Any) -> Callable[..., Any]:
    keys, messages = (var.aval.shape for var in eqn.invars)
    return prng.iterated_vmap_binary_bcast(keys, messages, _implementation(eqn).fold_in)


def _gamma(eqn: Any) -> Callable[..., Any]:
    """Samples of the gamma distribution, by rejection."""

    def run(words: Any, alphas: Any) -> Any:
        keys = prng.random_wrap(words, impl=_implementation(eqn))
        return random_core._gamma_impl(keys, alphas, log_space=eqn.params["log_space"], use_vmap=True)

    return run


def _special(function: Callable[..., Any]) -> Callable[[Any], Callable[..., Any]]:
    return lambda _eqn: special._up_and_broadcast(function)


EXPANSIONS: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "random_seed": lambda e: prng.iterated_vmap_unary(e.invars[0].aval.ndim, _implementation(e).seed),
    "random_split": lambda e: _per_key(e, lambda key: _implementation(e).split(key, e.params["shape"])),
    "random_bits": lambda e: _per_key(
        e, lambda key: _implementation(e).random_bits(key, e.params["bit_width"], e.params["shape"])
    ),
    "random_fold_in": _fold_in,
    "random_gamma": _gamma,
    "threefry2x32": lambda _: lambda *xs: threefry2x32._threefry2x32_lowering(*xs, use_rolled_loops=False),
    "igamma": _special(special.igamma_impl),
    "igammac": _special(special.igammac_impl),
    "igamma_grad_a": _special(special.igamma_grad_a_impl),
    "regularized_incomplete_beta": _special(special.regularized_incomplete_beta_impl),
    "bessel_i0e": lambda _: special.bessel_i0e_impl,
    "tridiagonal_solve": lambda e: lambda *xs: linalg._tridiagonal_solve_jax(*xs, **e.params),
    "lu": lambda _: linalg._lu_python,
    "lu_pivots_to_permutation": lambda e: lambda x: linalg._generic_lu_pivots_to_permutation(x, **e.params),
}
"""Functions in which JAX writes out an equation of a primitive."""


def scanned_reduction(eqn: Any) -> Callable[..., Any]:
    """A reduction by any function of scalars, as a loop over the elements that are reduced."""
    axes, combine = eqn.params["dimensions"], jaxpr_as_fun(eqn.params["jaxpr"])

    def run(*operands: Any) -> tuple[Any, ...]:
        count = len(operands) // 2
        xs = [_reduced_first(x, axes) for x in operands[:count]]
        rest = [size for axis, size in enumerate(operands[0].shape) if axis not in axes]
        carry = [jnp.broadcast_to(start, x.shape[1:]) for start, x in zip(operands[count:], xs, strict=True)]
        last, _ = jax.lax.scan(lambda now, x: (jax.vmap(combine)(*now, *x), None), carry, xs)
        return tuple(x.reshape(rest) for x in last)

    return run


def _reduced_first(x: Any, axes: Any) -> Any:
    """[elements that are reduced, the others]."""
    order = (*axes, *(axis for axis in range(x.ndim) if axis not in axes))
    moved = x.transpose(order)
    count = 1
    for size in moved.shape[len(axes) :]:
        count = count * size
    return moved.reshape((-1, count))
