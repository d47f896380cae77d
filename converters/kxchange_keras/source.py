"""The captured model itself, run on arrays by input name."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kxchange.converter import Runner
from kxchange.errors import InputError
from kxchange.model import Array, Function, Model
from kxchange_keras.capture import Origin
from kxchange_keras.decoding import leaves


def run_source(origin: Any, model: Model, *, function: str | None = None, float64: bool = False) -> Runner:
    """A runner of the captured model, at inference.

    Args:
        origin: `model.origin` as capture left it.
        model: For the names of inputs and outputs.
        function: Entry point.
        float64: Run in float64 throughout, which Keras does on TensorFlow only.

    Raises:
        InputError: The model was not captured in this process, or cannot run in float64.
    """
    if not isinstance(origin, Origin):
        raise InputError("keras can run a source only as `kx.capture` left it in `model.origin`.")
    entry = model.function(function)
    if origin.examples is not None:
        return _code_runner(origin, entry, float64=float64)
    live = widened(origin.model) if float64 else origin.model

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        tensors = [inputs[name] for name in entry.input_names]
        given = (
            keras.tree.pack_sequence_as(live._inputs_struct, tensors) if hasattr(live, "_inputs_struct") else tensors
        )
        found = live(given[0] if isinstance(given, list) and len(given) == 1 else given, training=False)
        return _numbered(entry, found)

    return run


def _code_runner(origin: Origin, entry: Function, *, float64: bool) -> Runner:
    """A runner of a model that is code."""
    if float64:
        raise InputError("keras runs a model that is code in its own dtypes only.")
    examples = origin.examples
    assert examples is not None
    trains = "training" in inspect.signature(origin.model.call).parameters

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        args, kwargs = examples.packed({name: keras.ops.convert_to_tensor(inputs[name]) for name in examples.arrays})
        found = origin.model(*args, **{**({"training": False} if trains else {}), **kwargs})
        return _numbered(entry, found)

    return run


def _numbered(entry: Function, found: Any) -> dict[str, Array]:
    """The outputs of a call by name: Keras's own way to flatten would sort the keys of a dict."""
    tensors = [leaf for leaf in leaves(found) if hasattr(leaf, "shape")]
    arrays = [np.asarray(keras.ops.convert_to_numpy(tensor)) for tensor in tensors]
    return dict(zip(_names(entry, found), arrays, strict=False))


def _names(entry: Function, found: Any) -> Sequence[str]:
    """Names of the outputs in the order in which the call has them."""
    if entry.structure is None:
        return entry.output_names
    named: list[str] = []

    def walk(tree: Any, item: Any) -> None:
        if isinstance(item, Mapping):
            for key in item:
                walk(tree[str(key)], item[key])
        elif isinstance(item, list | tuple):
            for inner, part in zip(tree, item, strict=True):
                walk(inner, part)
        elif "output" in tree:
            named.append(tree["output"])

    walk(entry.structure, found)
    return named


def widened(model: Any) -> Any:
    """A twin of a model that computes in float64.

    Raises:
        InputError: Keras's backend does not.
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"keras computes parts of a float64 model in float32 on {keras.backend.backend()}.")
    text = json.dumps(keras.saving.serialize_keras_object(model))
    for name in ("float32", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16"):
        text = text.replace(f'"{name}"', '"float64"')
    before = keras.config.floatx(), keras.config.dtype_policy().name
    try:
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        twin = keras.saving.deserialize_keras_object(json.loads(text), safe_mode=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"keras cannot rebuild the model in float64: {str(error)[:200]}") from None
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
    twin.set_weights(model.get_weights())
    return twin


def to_tensor(array: Array) -> Any:
    """A NumPy array as a tensor of the backend that Keras runs on."""
    return keras.ops.convert_to_tensor(array)
