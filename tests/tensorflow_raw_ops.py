"""A sample of every raw op of TensorFlow whose signature says all that is needed to call it."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

raw: Any = tf.raw_ops
FLOATS = np.random.default_rng(0).uniform(0.05, 0.95, (3, 4)).astype(np.float32)
WHOLE = np.arange(1, 13, dtype=np.int32).reshape(3, 4)
TRUTH = FLOATS > 0.5
ABOVE_ONE = frozenset({"Acosh"})
SKIPPED = {
    "Squeeze": "which axes it removes depends on sizes that are open",
    "Svd": "the signs of its vectors are free",
}
"""Ops that written cases test instead."""
KINDS = {"float": FLOATS, "int": WHOLE, "bool": TRUTH}


def definition(name: str) -> Any:
    """The registered signature of an op; None for one that this TensorFlow does not have."""
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(name)


def samples(name: str) -> list[tuple[dict[str, Any], Any]]:
    """Arguments for an op whose inputs are alike and whose attributes all have defaults; one for each kind it takes."""
    found = None if name in SKIPPED else definition(name)
    if found is None or not 1 <= len(found.input_arg) <= 3 or not found.output_arg or found.is_stateful:
        return []
    kinds = {argument.type_attr or argument.type for argument in found.input_arg}
    if len(kinds) != 1 or any(argument.number_attr or argument.type_list_attr for argument in found.input_arg):
        return []
    inferred = {argument.type_attr for argument in found.input_arg}
    if any(not item.HasField("default_value") for item in found.attr if item.name not in inferred):
        return []
    made: list[tuple[dict[str, Any], Any]] = []
    for array in KINDS.values():
        if name == "Round" and array.dtype.kind == "i":
            continue  # TensorFlow's kernel makes 0 of whole numbers; they are refused
        array = array + 1 if name in ABOVE_ONE else array
        given = {a.name: np.roll(array, place) for place, a in enumerate(found.input_arg)}
        try:
            own = getattr(raw, name)(**{key: tf.constant(item) for key, item in given.items()})
        except (tf.errors.OpError, TypeError, ValueError, AttributeError):
            continue
        made.append((given, own))
    return made
