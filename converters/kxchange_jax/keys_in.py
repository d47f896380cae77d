"""Primitives that move random keys about: a key is the words of its state, so that there are further axes to move."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_jax.lift import scalar
from kxchange_jax.private import is_key, key_words

Params = dict[str, Any]
Words = tuple[int, ...]


def moves_keys(eqn: Any) -> bool:
    """Whether an equation is one of those that this file knows, on keys."""
    return eqn.primitive.name in FORMS and is_key(eqn.outvars[0].aval.dtype)


def on_words(eqn: Any, operands: list[Value], params: Mapping[str, Any]) -> tuple[list[Value], Params]:
    """The operands and parameters with which the primitive moves the words as it moves the keys."""
    aval = eqn.outvars[0].aval
    return FORMS[eqn.primitive.name](operands, dict(params), key_words(aval.dtype), len(aval.shape))


def _reshape(xs: list[Value], params: Params, words: Words, _rank: int) -> tuple[list[Value], Params]:
    return xs, {**params, "new_sizes": (*params["new_sizes"], *words)}


def _broadcast(xs: list[Value], params: Params, words: Words, rank: int) -> tuple[list[Value], Params]:
    along = (*params["broadcast_dimensions"], *_last(words, rank))
    return xs, {**params, "shape": (*params["shape"], *words), "broadcast_dimensions": along}


def _transpose(xs: list[Value], params: Params, words: Words, rank: int) -> tuple[list[Value], Params]:
    return xs, {**params, "permutation": (*params["permutation"], *_last(words, rank))}


def _slice(xs: list[Value], params: Params, words: Words, _rank: int) -> tuple[list[Value], Params]:
    strides = params["strides"] and (*params["strides"], *(1 for _ in words))
    starts, limits = (*params["start_indices"], *(0 for _ in words)), (*params["limit_indices"], *words)
    return xs, {**params, "start_indices": starts, "limit_indices": limits, "strides": strides}


def _dynamic_slice(xs: list[Value], params: Params, words: Words, rank: int) -> tuple[list[Value], Params]:
    starts = [*xs[1 : 1 + rank], *(_start(xs[1:]) for _ in words)]
    return [xs[0], *starts], {**params, "slice_sizes": (*params["slice_sizes"], *words)}


def _dynamic_update(xs: list[Value], params: Params, words: Words, _rank: int) -> tuple[list[Value], Params]:
    return [*xs, *(_start(xs[2:]) for _ in words)], params


def _gather(xs: list[Value], params: Params, words: Words, rank: int) -> tuple[list[Value], Params]:
    numbers = params["dimension_numbers"]
    numbers = numbers._replace(offset_dims=(*numbers.offset_dims, *_last(words, rank)))
    return xs, {**params, "dimension_numbers": numbers, "slice_sizes": (*params["slice_sizes"], *words)}


def _select(xs: list[Value], params: Params, words: Words, rank: int) -> tuple[list[Value], Params]:
    which = ops.expand_dims(xs[0], axis=_last(words, rank)) if xs[0].ndim else xs[0]
    return [which, *xs[1:]], params


def _last(words: Words, rank: int) -> tuple[int, ...]:
    """The axes of the words, behind those of the keys."""
    return tuple(range(rank, rank + len(words)))


def _start(others: list[Value]) -> Value:
    return scalar(0, others[0].dtype if others else DType.INT32)


FORMS: Mapping[str, Callable[[list[Value], Params, Words, int], tuple[list[Value], Params]]] = {
    "reshape": _reshape,
    "broadcast_in_dim": _broadcast,
    "transpose": _transpose,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update,
    "gather": _gather,
    "select_n": _select,
}
"""The others take keys as they are: their axes are counted from the front."""
