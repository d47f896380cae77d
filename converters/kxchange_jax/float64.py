"""A captured call computed in float64 throughout: its jaxpr run with every float, cast and number widened.

Turning x64 on is not that: what the source casts to float32, or makes in float32, stays float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kxchange_jax.lifting import INLINED, live_equations
from kxchange_jax.numbers_in import Numbers, inner_jaxprs
from kxchange_jax.private import is_key

Arrays = list[Any]
DTYPE_PARAMS = ("new_dtype", "dtype", "preferred_element_type")
"""Parameters of primitives that name the element type of a result."""
BY_NAME: dict[str, Callable[..., Any]] = {"add": lax.add, "mul": lax.mul, "min": lax.min, "max": lax.max}


class Widened:
    """One run of a jaxpr in float64.

    Args:
        numbers: The source's numbers at full precision.
    """

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers

    def run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> Arrays:
        """The outputs of an open jaxpr for these arguments, all of them floats in float64 already."""
        environment: dict[Any, Any] = dict(zip(jaxpr.invars, args, strict=True))
        environment |= {var: widened(const) for var, const in zip(jaxpr.constvars, consts, strict=True)}

        def read(atom: Any) -> Any:
            return self.literal(atom) if hasattr(atom, "val") else environment.get(atom)

        for eqn in live_equations(jaxpr, [True] * len(jaxpr.outvars))[0]:
            results = self.equation(eqn, [read(atom) for atom in eqn.invars])
            environment.update(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def closed(self, jaxpr: Any, args: Sequence[Any]) -> Arrays:
        """The outputs of a jaxpr, open or closed."""
        return self.run(getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", ()), args)

    def literal(self, atom: Any) -> Any:
        """A number of the jaxpr."""
        array = np.asarray(atom.val, atom.aval.dtype)
        if array.ndim or not is_floating(array.dtype):
            return widened(array)
        return jnp.asarray(self.numbers.exact(array), jnp.float64)

    def equation(self, eqn: Any, operands: Arrays) -> Sequence[Any]:
        """The results of one equation."""
        name = eqn.primitive.name
        called = next(inner_jaxprs(eqn.params.get(INLINED.get(name, ""))), None)
        if called is not None:
            return self.closed(called, operands)
        control = CONTROL.get(name)
        if control is not None:
            return control(self, operands, **eqn.params)
        if name == "reduce_precision":
            return operands
        if name == "bitcast_convert_type":
            return [_same_bits(eqn, operands[0])]
        results = eqn.primitive.bind(*operands, **self.parameters(eqn.params))
        return results if eqn.primitive.multiple_results else [results]

    def parameters(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A primitive's parameters with floating element types widened, and its combiner made for them."""
        changed = dict(params)
        for name in DTYPE_PARAMS:
            if changed.get(name) is not None:
                changed[name] = wide_dtype(changed[name])
        for name in ("update_jaxpr", "jaxpr"):
            if changed.get(name) is not None:
                changed[name] = _combiner(changed[name])
        return changed


def _same_bits(eqn: Any, x: Any) -> Any:
    """The bits of the source's own type, because those of a float64 are others."""
    before = eqn.invars[0].aval.dtype
    narrow = x.astype(before) if is_floating(before) else x
    return widened(eqn.primitive.bind(narrow, **eqn.params))


def _combiner(jaxpr: Any) -> Any:
    """The function of two scalars that a scatter or reduction combines with, made again in float64."""
    equations = getattr(jaxpr, "jaxpr", jaxpr).eqns
    variables = getattr(jaxpr, "jaxpr", jaxpr).invars
    wide = wide_dtype(variables[0].aval.dtype) if variables else None
    if len(variables) != 2 or wide == variables[0].aval.dtype:
        return jaxpr
    combine = BY_NAME[equations[0].primitive.name] if equations else lambda _old, new: new
    scalar = jax.ShapeDtypeStruct((), wide)
    made = jax.make_jaxpr(combine)(scalar, scalar)
    return made if hasattr(jaxpr, "jaxpr") else made.jaxpr


def _scan(
    run: Widened,
    operands: Arrays,
    *,
    jaxpr: Any,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
    **_: Any,
) -> Arrays:
    first = num_consts + num_carry
    consts, carry, xs = operands[:num_consts], operands[num_consts:first], operands[first:]

    def step(now: Arrays, elements: Arrays) -> tuple[Arrays, Arrays]:
        results = run.closed(jaxpr, [*consts, *now, *elements])
        return results[:num_carry], results[num_carry:]

    last, stacked = lax.scan(step, carry, xs, length=length, reverse=reverse)
    return [*last, *stacked]


def _while(
    run: Widened, operands: Arrays, *, cond_jaxpr: Any, body_jaxpr: Any, cond_nconsts: int, body_nconsts: int, **_: Any
) -> Arrays:
    first = cond_nconsts + body_nconsts
    tested, stepped, carry = operands[:cond_nconsts], operands[cond_nconsts:first], operands[first:]
    return lax.while_loop(
        lambda now: run.closed(cond_jaxpr, [*tested, *now])[0],
        lambda now: run.closed(body_jaxpr, [*stepped, *now]),
        carry,
    )


def _cond(run: Widened, operands: Arrays, *, branches: Sequence[Any], **_: Any) -> Arrays:
    which, *rest = operands
    functions = [lambda *args, branch=branch: run.closed(branch, args) for branch in branches]
    return lax.switch(jnp.asarray(which, jnp.int32), functions, *rest)


def _linear_solve(run: Widened, operands: Arrays, *, const_lengths: Any, jaxprs: Any, **_: Any) -> Arrays:
    lengths = [int(length) for length in const_lengths]
    first = sum(lengths[:2])
    return run.closed(jaxprs.solve, [*operands[first : first + lengths[2]], *operands[sum(lengths) :]])


CONTROL: dict[str, Callable[..., Arrays]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "custom_linear_solve": _linear_solve,
}


def is_floating(dtype: Any) -> bool:
    """Whether a dtype is a real floating one."""
    return jnp.issubdtype(dtype, jnp.floating)


def wide_dtype(dtype: Any) -> Any:
    """The type of double precision for a floating or complex one; any other as it is."""
    if is_key(dtype):
        return dtype
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return np.dtype(np.complex128)
    return np.dtype(np.float64) if is_floating(dtype) else dtype


def widened(array: Any) -> Any:
    """An array in double precision if it is floating or complex."""
    return array if is_key(array.dtype) else jnp.asarray(array, wide_dtype(array.dtype))
