"""Lowering of branches and loops."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kxchange.graph import Graph
from kxchange.table import Table
from kxchange_tensorflow.lowering import body_function, size, vector

Tensor = Any
Tensors = tuple[Tensor, ...]

lower = Table("tensorflow")


@lower.rule("cond")
def _(predicate: Tensor, *operands: Tensor, branches: tuple[Graph, Graph]) -> Tensors:
    otherwise, then = map(body_function, branches)
    return tuple(tf.cond(predicate, lambda: then(*operands), lambda: otherwise(*operands)))


@lower.rule("while_loop")
def _(*operands: Tensor, cond: Graph, body: Graph, cond_consts: int, body_consts: int) -> Tensors:
    test, step = body_function(cond), body_function(body)
    split = cond_consts + body_consts
    for_test, for_step, carry = operands[:cond_consts], operands[cond_consts:split], operands[split:]
    found = tf.while_loop(
        lambda *now: test(*for_test, *now)[0],
        lambda *now: step(*for_step, *now),
        list(carry),
        shape_invariants=[tf.TensorShape(_static(value)) for value in body.outputs],
    )
    return tuple(found)


def _static(value: Any) -> list[int | None]:
    return [dim if isinstance(dim, int) else None for dim in value.shape]


@lower.rule("scan")
def _(*operands: Tensor, body: Graph, num_consts: int, num_carry: int, reverse: bool, length: Any) -> Tensors:
    step, split = body_function(body), num_consts + num_carry
    consts, carry, xs = operands[:num_consts], operands[num_consts:split], operands[split:]
    count = tf.cast(length, tf.int32)
    kinds = body.outputs[num_carry:]
    stacks = [_stack(kind, count) for kind in kinds]

    def advance(place: Tensor, now: Tensors, made: list[Any]) -> tuple[Tensor, list[Tensor], list[Any]]:
        at = count - 1 - place if reverse else place
        results = step(*consts, *now, *(tf.gather(x, at) for x in xs))
        written = [array.write(at, value) for array, value in zip(made, results[num_carry:], strict=True)]
        return place + 1, list(results[:num_carry]), written

    invariants = (
        tf.TensorShape([]),
        [tf.TensorShape(_static(value)) for value in body.outputs[:num_carry]],
        [tf.TensorShape(None)] * len(stacks),  # pyright: ignore[reportArgumentType]
    )
    _, last, made = tf.while_loop(
        lambda place, now, made: place < count,
        advance,
        (tf.constant(0), list(carry), stacks),
        shape_invariants=invariants,
    )
    return (*last, *(array.stack()[:-1] for array in made))


def _stack(kind: Any, count: Tensor) -> Any:
    """Room for the elements and one of zeros behind: a stack of none would not know its symbolic sizes."""
    dtype, sizes = tf.as_dtype(kind.dtype.value), vector([size(dim) for dim in kind.shape])
    array = tf.TensorArray(dtype, count + 1, element_shape=_static(kind), clear_after_read=False)
    return array.write(count, tf.zeros(sizes, dtype))
