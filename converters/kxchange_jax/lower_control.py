"""Lowering of branches and loops: they are JAX's own."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from kxchange.graph import Graph
from kxchange.table import Table
from kxchange_jax.lowering import body_function

Array = Any
Arrays = tuple[Array, ...]

lower = Table("jax")


@lower.rule("cond")
def _(predicate: Array, *operands: Array, branches: tuple[Graph, Graph]) -> Arrays:
    otherwise, then = map(body_function, branches)
    return lax.cond(predicate, then, otherwise, *operands)


@lower.rule("while_loop")
def _(*operands: Array, cond: Graph, body: Graph, cond_consts: int, body_consts: int) -> Arrays:
    test, step = body_function(cond), body_function(body)
    split = cond_consts + body_consts
    for_test, for_step = operands[:cond_consts], operands[cond_consts:split]
    carry = tuple(map(jnp.asarray, operands[split:]))
    return lax.while_loop(lambda now: test(*for_test, *now)[0], lambda now: step(*for_step, *now), carry)


@lower.rule("scan")
def _(*operands: Array, body: Graph, num_consts: int, num_carry: int, reverse: bool, length: Any) -> Arrays:
    step, split = body_function(body), num_consts + num_carry
    consts, carry, xs = operands[:num_consts], operands[num_consts:split], operands[split:]

    start = tuple(map(jnp.asarray, carry))

    def advance(now: Arrays, elements: Arrays) -> tuple[Arrays, Arrays]:
        results = step(*consts, *now, *elements)
        return results[:num_carry], results[num_carry:]

    if isinstance(length, int) or not xs:  # JAX takes a symbolic length from xs only
        steps = None if isinstance(length, int) else lax.iota(jnp.int32, length)
        known = length if isinstance(length, int) else None
        last, stacked = lax.scan(lambda c, x: advance(c, x[0]), start, (xs, steps), known, reverse)
    else:
        last, stacked = lax.scan(advance, start, xs, reverse=reverse)
    return (*last, *stacked)
