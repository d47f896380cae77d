"""Arguments of a call matched with a function's inputs, and its outputs put into the source's tree."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kxchange.errors import InputError
from kxchange.model import Function
from kxchange.types import DType, TensorType
from kxchange_jax.private import is_traced
from kxchange_jax.trees import leaves_of


def argument_names(function: Function) -> dict[str, list[str]]:
    """Argument names (up to the first dot of an input name), each with the inputs that it holds."""
    found: dict[str, list[str]] = {}
    for name in function.input_names:
        found.setdefault(name.partition(".")[0] or name, []).append(name)
    return found


def bind_arguments(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """One value per input: positional and named arguments, nested ones (``past=((k, v), ...)``) taken apart.

    Raises:
        InputError: An input is missing, unknown or given twice.
    """
    names = argument_names(function)
    given = dict(zip(names, args, strict=False))
    twice = sorted(given.keys() & kwargs.keys())
    leaves: dict[str, Any] = {}
    for name, value in {**given, **kwargs}.items():
        leaves |= {".".join((name, *path)): leaf for path, leaf in leaves_of(value)}
    missing = [name for name in function.input_names if name not in leaves]
    unknown = [name for name in leaves if name not in function.input_types]
    if missing or unknown or twice or len(args) > len(names):
        problems = {"missing": missing, "unknown": unknown, "given twice": twice}
        listed = "; ".join(f"{problem}: {found}" for problem, found in problems.items() if found)
        raise InputError(
            f"apply takes the inputs {list(function.input_names)} behind params ({listed or 'too many are given'}). "
            "Pass each one once."
        )
    return [leaves[name] for name in function.input_names]


def as_input(name: str, value: Any, type: TensorType, *, wide: bool) -> Any:
    """A value as an array of exactly the input's dtype, where that changes no value of it.

    Args:
        name: Of the input, for messages.
        value: An array, a tracer or a Python number.
        type: What the model takes.
        wide: Whether the caller's JAX has 64-bit types. Where it has not, it cuts arrays itself, so that a narrower
            array of the same kind is taken for one of these, and NumPy's 64-bit arrays for 32-bit ones.

    Raises:
        InputError: The dtype does not fit.
    """
    if isinstance(value, bool | int | float | complex):
        return jnp.asarray(value, type.dtype.numpy)
    wanted = type.dtype.numpy
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    if array.dtype == wanted or getattr(array, "weak_type", False):
        return jnp.asarray(array, wanted)
    given = DType.of(array.dtype)
    if _same_kind(given, type.dtype):
        if type.dtype.is_integer and np.can_cast(array.dtype, wanted, "safe"):
            return jnp.asarray(array).astype(wanted)
        if not wide and given.bits == 64 and _fits(array, type.dtype):
            return jnp.asarray(array.astype(wanted))
    raise InputError(
        f"apply takes input {name!r} as {type.dtype}, not as {given}. Cast it first: array.astype({type.dtype.value!r})"
        + (", with jax.enable_x64(True) around the call." if type.dtype.bits == 64 and not wide else ".")
    )


def _same_kind(first: DType, second: DType) -> bool:
    return (first.is_integer and second.is_integer) or (first.is_floating and second.is_floating)


def _fits(array: Any, dtype: DType) -> bool:
    """Whether a 64-bit array can be given 32 bits, as JAX without x64 would do: floats always, integers by value."""
    if dtype.is_floating:
        return dtype is DType.FLOAT32
    if is_traced(array) or dtype.bits != 32:
        return False
    limits = np.iinfo(dtype.numpy)
    plain = np.asarray(array)
    return bool(plain.size == 0 or (plain.min() >= limits.min and plain.max() <= limits.max))


def pack(function: Function, outputs: Sequence[Any], without: Collection[str] = ()) -> Any:
    """The outputs in the source's tree; without one, the single output, or a dict by name.

    Args:
        function: Whose outputs they are.
        outputs: All of them, in order.
        without: Names of those to leave out, where no tree says which there are.
    """
    named = dict(zip(function.output_names, outputs, strict=True))
    if function.structure is not None:
        return _rebuild(function.structure, named)
    kept = {name: value for name, value in named.items() if name not in without}
    return next(iter(kept.values())) if len(kept) == 1 else kept


def _rebuild(tree: Any, outputs: Mapping[str, Any]) -> Any:
    if isinstance(tree, Mapping):
        if len(tree) == 1:
            (key, value), *_ = tree.items()
            if key == "output" and isinstance(value, str):
                return outputs[value]
            if key == "value":
                return value
        return {key: _rebuild(item, outputs) for key, item in tree.items()}
    return tuple(_rebuild(item, outputs) for item in tree)
