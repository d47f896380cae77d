"""Loops and branches of a model that is code: Keras's functions on functions, as control flow of the language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras

from kxchange import ops
from kxchange.errors import CaptureError
from kxchange.graph import Value, placeholder
from kxchange.types import DType
from kxchange_keras.closing_in import close
from kxchange_keras.symbolic import SymbolicTensor, dim_of

if TYPE_CHECKING:
    from kxchange_keras.tracing import Tracer


def control(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register an operation that takes functions."""

    def register(rule: Callable[..., Any]) -> Callable[..., Any]:
        from kxchange_keras.tracing import CONTROL

        for name in names:
            CONTROL[name] = rule
        return rule

    return register


def _tensors(tracer: Tracer, tree: Any) -> list[Any]:
    return [_as_tensor(tracer, leaf) for leaf in keras.tree.flatten(tree)]


def _as_tensor(tracer: Tracer, leaf: Any) -> Any:
    if isinstance(leaf, bool | int | float):
        leaf = keras.ops.convert_to_tensor(leaf)
    found = tracer.tensor(leaf)
    if not isinstance(found, SymbolicTensor):
        raise CaptureError(f"it carries {type(leaf).__name__} through a loop or branch")
    return found


def _values(tracer: Tracer, tree: Any) -> list[Value]:
    return [leaf.value for leaf in _tensors(tracer, tree)]


def _inner(tracer: Tracer, values: Sequence[Value], name: str, drop: int = 0) -> tuple[list[Value], list[Any]]:
    """Placeholders for a body's inputs, without their first `drop` axes."""
    made = [placeholder(f"{name}_{i}", v.type.with_shape(v.shape[drop:])) for i, v in enumerate(values)]
    return made, [SymbolicTensor(value, tracer.sizes) for value in made]


def _unwritten(tracer: Tracer, body: Callable[..., Any], *args: Any) -> Any:
    """Call a body.

    Raises:
        CaptureError: It writes variables.
    """
    before = dict(tracer.written)
    found = body(*args)
    if tracer.written != before:
        raise CaptureError("it writes variables inside a loop or branch")
    return found


def _settled(values: Sequence[Value], like: Sequence[Value]) -> list[Value]:
    """New values of what a loop carries, in the types it carries."""
    found: list[Value] = []
    for new, old in zip(values, like, strict=True):
        if new.shape != old.shape:
            raise CaptureError(f"what a loop carries changes its shape from {old.shape} to {new.shape}")
        found.append(new if new.dtype is old.dtype else ops.astype(new, dtype=old.dtype))
    return found


@control("Cond")
def _cond(tracer: Tracer, made: Any, pred: Any, true_fn: Any, false_fn: Any) -> Any:
    flag = _as_tensor(tracer, pred).value
    if flag.dtype is not DType.BOOL:
        flag = ops.astype(flag, dtype=DType.BOOL)
    if flag.ndim:
        flag = ops.reshape(flag, shape=())
    first, second = (_unwritten(tracer, body) for body in (false_fn, true_fn))
    outputs = _values(tracer, first), _values(tracer, second)
    graphs, operands = close([((), outputs[0]), ((), outputs[1])])
    found = ops.cond(flag, *operands, branches=(graphs[0], graphs[1]))
    return _packed(tracer, second, found)


def _packed(tracer: Tracer, like: Any, found: Any) -> Any:
    results = found if isinstance(found, tuple) else (found,)
    return keras.tree.pack_sequence_as(like, [SymbolicTensor(value, tracer.sizes) for value in results])


@control("WhileLoop")
def _while(tracer: Tracer, made: Any, loop_vars: Any) -> Any:
    alone = not isinstance(loop_vars, list | tuple)
    given = (loop_vars,) if alone else tuple(loop_vars)
    limit = made.maximum_iterations
    start = _values(tracer, given)
    if limit is not None:
        start.append(ops.full(shape=(), value=0, dtype=DType.INT32))
    before, symbolic = _inner(tracer, start, "carry")
    state = keras.tree.pack_sequence_as(given, symbolic[: len(symbolic) - (limit is not None)])
    test = _as_tensor(tracer, _unwritten(tracer, made.cond, *state)).value
    after = _unwritten(tracer, made.body, *state)
    new = _values(tracer, after)
    if limit is not None:
        test = ops.logical_and(test, ops.less(before[-1], dim_of(limit)))
        new.append(ops.add(before[-1], 1))
    (condition,), tested = close([(before, [test])])
    (body,), read = close([(before, _settled(new, start))])
    found = ops.while_loop(
        *tested, *read, *start, cond=condition, body=body, cond_consts=len(tested), body_consts=len(read)
    )
    results = found if isinstance(found, tuple) else (found,)
    packed = _packed(tracer, given, results[: len(results) - (limit is not None)])
    return packed[0] if alone else packed


@control("ForiLoop")
def _fori(tracer: Tracer, made: Any, init_val: Any) -> Any:
    lower, upper = (dim_of(item) for item in (made.lower, made.upper))
    if not all(isinstance(item, int) or hasattr(item, "terms") for item in (lower, upper)):
        raise CaptureError("its limits are tensors")
    steps = ops.arange(start=lower, stop=upper, step=1, dtype=DType.INT32)
    start = _values(tracer, init_val)
    before, symbolic = _inner(tracer, start, "carry")
    (step,), (index,) = _inner(tracer, [steps], "step", drop=1)
    after = _unwritten(tracer, made.body_fun, index, keras.tree.pack_sequence_as(init_val, symbolic))
    (body,), read = close([([*before, step], _settled(_values(tracer, after), start))])
    found = ops.scan(
        *read, *start, steps, body=body, num_consts=len(read), num_carry=len(start), reverse=False, length=upper - lower
    )
    return _packed(tracer, init_val, found)


@control("Scan")
def _scan(tracer: Tracer, made: Any, f: Any, init: Any, xs: Any = None) -> Any:
    start = _values(tracer, init)
    rows = [] if xs is None else _values(tracer, xs)
    length = dim_of(made.length) if made.length is not None else rows[0].shape[0]
    before, carried = _inner(tracer, start, "carry")
    now, given = _inner(tracer, rows, "x", drop=1)
    x = None if xs is None else keras.tree.pack_sequence_as(xs, given)
    carry, y = _unwritten(tracer, f, keras.tree.pack_sequence_as(init, carried), x)
    outputs = [] if y is None else _values(tracer, y)
    (body,), read = close([([*before, *now], [*_settled(_values(tracer, carry), start), *outputs])])
    found = ops.scan(
        *read,
        *start,
        *rows,
        body=body,
        num_consts=len(read),
        num_carry=len(start),
        reverse=bool(made.reverse),
        length=length,
    )
    found = found if isinstance(found, tuple) else (found,)
    ys = None if y is None else _packed(tracer, y, found[len(start) :])
    return _packed(tracer, init, found[: len(start)]), ys


@control("Map", "VectorizedMap")
def _map(tracer: Tracer, made: Any, f: Any, xs: Any = None) -> Any:
    if xs is None:
        f, xs = made.function, f
    rows = _values(tracer, xs)
    now, given = _inner(tracer, rows, "x", drop=1)
    y = _unwritten(tracer, f, keras.tree.pack_sequence_as(xs, given))
    (body,), read = close([(now, _values(tracer, y))])
    found = ops.scan(*read, *rows, body=body, num_consts=len(read), num_carry=0, reverse=False, length=rows[0].shape[0])
    return _packed(tracer, y, found)


def recurrent(
    tracer: Tracer,
    step_function: Any,
    inputs: Any,
    initial_states: Any,
    go_backwards: bool = False,
    mask: Any = None,
    constants: Any = None,
    unroll: bool = False,
    input_length: Any = None,
    time_major: bool = False,
    zero_output_for_mask: bool = False,
    return_all_outputs: bool = True,
) -> tuple[Any, Any, Any]:
    """`keras.backend.rnn`: the last output, all outputs, the states after."""
    start, sequences = _values(tracer, initial_states), keras.tree.flatten(inputs)
    if len(sequences) != 1 or not start:
        raise CaptureError("its cell takes several sequences, or has no state")
    rows = [_time_first(_as_tensor(tracer, sequences[0]), time_major)]
    if mask is not None:
        rows.append(_time_first(keras.ops.cast(_as_tensor(tracer, mask), "bool"), time_major))
    before, symbolic = _inner(tracer, start, "state")
    now, given = _inner(tracer, rows, "x", drop=1)
    states = keras.tree.pack_sequence_as(initial_states, symbolic)
    output, after = _unwritten(tracer, step_function, given[0], [*states, *constants] if constants else states)
    (out,) = _values(tracer, output)
    new, first = _settled(_values(tracer, after), start), list(start)
    if mask is not None:
        before, new, out, first = _masked_step(before, new, out, first, now[1], zero_output=zero_output_for_mask)
    (body,), read = close([([*before, *now], [*new, out])])
    backwards, length = bool(go_backwards), rows[0].shape[0]
    found = ops.scan(
        *read, *first, *rows, body=body, num_consts=len(read), num_carry=len(first), reverse=backwards, length=length
    )
    outputs = ops.flip(found[len(first)], axis=(0,)) if backwards else found[len(first)]
    last = ops.squeeze(ops.slice(outputs, starts=(length - 1,), stops=(length,), steps=(1,), axes=(0,)), axis=(0,))
    wrapped = SymbolicTensor(outputs, tracer.sizes)
    wrapped = wrapped if time_major else keras.ops.swapaxes(wrapped, 0, 1)
    return SymbolicTensor(last, tracer.sizes), wrapped, _packed(tracer, initial_states, found[: len(start)])


def _masked_step(
    before: list[Value], new: list[Value], out: Value, first: list[Value], counts: Value, *, zero_output: bool
) -> tuple[list[Value], list[Value], Value, list[Value]]:
    """A step that may not count: states stay, the output is 0 or the one before (on JAX the first state).

    Returns:
        What the loop carries in, what it carries on, the output of the step, what it starts from.
    """
    empty = ops.full(shape=out.shape, value=0.0, dtype=out.dtype)
    new = [ops.where(_over(counts, value), value, old) for value, old in zip(new, before, strict=True)]
    if zero_output or keras.backend.backend() == "jax":
        return before, new, ops.where(_over(counts, out), out, empty if zero_output else before[0]), first
    previous = placeholder("previous", out.type)
    out = ops.where(_over(counts, out), out, previous)
    return [*before, previous], [*new, out], out, [*first, empty]


def _time_first(x: Any, time_major: bool) -> Value:
    turned: Any = x if time_major else keras.ops.swapaxes(x, 0, 1)
    return turned.value


def _over(mask: Value, x: Value) -> Value:
    """A mask of the batch, with axes to broadcast over x."""
    return ops.expand_dims(mask, axis=tuple(range(mask.ndim, x.ndim))) if x.ndim > mask.ndim else mask
