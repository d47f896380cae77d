"""Live Keras models whose code calls TensorFlow itself: taken as the graph that TensorFlow traces of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from kxchange.dims import Dim, evaluate
from kxchange.errors import KxchangeError
from kxchange.model import Function, Model
from kxchange_keras.examples_in import Examples, plan_shapes
from kxchange_keras.live_layers import LiveLayers
from kxchange_keras.private import backend_variables
from kxchange_keras.subclassed import first_difference, named_leaves, run_example


def capture_graph(
    source: Any, examples: Examples, dynamic: Any, provenance: Mapping[str, Any], refusal: KxchangeError
) -> Model:
    """Lift a model through a `tf.function` of its call.

    Layers come as the operations that they are made of. Parameters keep the paths of their variables.

    Args:
        source: The model, which ran on the examples before.
        examples: Its example inputs.
        dynamic: Dims by input name.
        provenance: What it is.
        refusal: Why it could not be traced by `keras.ops`; raised again where TensorFlow cannot help either.

    Raises:
        KxchangeError: It cannot be taken.
    """
    if keras.backend.backend() != "tensorflow" or not _calls_tensorflow(refusal):
        raise refusal
    from kxchange_tensorflow.capture import lift_concrete, writes

    shapes, sizes = plan_shapes(examples, dynamic)
    live = LiveLayers(source)
    found: list[Model] = []
    for _ in range(2):
        concrete, names, structure = _traced(source, examples, shapes, refusal)
        if writes(concrete):  # what was written would be lost
            raise refusal
        try:
            model = lift_concrete(
                concrete,
                backend_variables(source, live.variables),
                inputs=list(examples.arrays),
                outputs=names,
                dynamic={name: [None if isinstance(d, int) else str(d) for d in dims] for name, dims in shapes.items()},
            )
        except KxchangeError as error:
            raise refusal from error
        found.append(_own(model, live, structure, provenance))
    _check(source, examples, found, shapes, sizes, refusal)
    return found[0]


def _calls_tensorflow(refusal: BaseException | None) -> bool:
    """Whether a trace ended where a function of TensorFlow was called on a symbolic tensor."""
    while refusal is not None:
        if isinstance(refusal, ValueError) and "input to a TensorFlow function" in str(refusal):
            return True
        refusal = refusal.__cause__
    return False


def _check(
    source: Any,
    examples: Examples,
    found: list[Model],
    shapes: Mapping[str, tuple[Dim, ...]],
    sizes: Mapping[str, int],
    refusal: KxchangeError,
) -> None:
    """Compare two traces with each other, and the first with the model itself at two sizes.

    TensorFlow bakes in what Python draws, and takes branches on open sizes without a word.

    Raises:
        KxchangeError: They differ.
    """
    if first_difference(found[0].main.graph, found[1].main.graph):
        raise refusal
    for more in (0, 1):
        at = {name: size + more for name, size in sizes.items()}
        arrays: dict[str, Any] = {
            name: np.resize(array, [evaluate(dim, at) for dim in shapes[name]])
            for name, array in examples.arrays.items()
        }
        own = run_example(source, replace(examples, arrays=arrays))
        tensors = [np.asarray(keras.ops.convert_to_numpy(leaf)) for leaf in own if hasattr(leaf, "shape")]
        for ours, theirs in zip(found[0](**arrays).values(), tensors, strict=True):
            if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-2, atol=1e-3, equal_nan=True):
                raise refusal


def _traced(
    source: Any, examples: Examples, shapes: Mapping[str, tuple[Dim, ...]], refusal: KxchangeError
) -> tuple[Any, list[str], Any]:
    """The concrete function of a model's call, names of its outputs, and their tree.

    Raises:
        KxchangeError: TensorFlow cannot trace it either.
    """
    import tensorflow as tf

    found: list[Any] = []
    trains = "training" in inspect.signature(source.call).parameters

    def call(*tensors: Any) -> list[Any]:
        args, kwargs = examples.packed(dict(zip(examples.arrays, tensors, strict=True)))
        outputs = source(*args, **{**({"training": False} if trains else {}), **kwargs})
        names, leaves, structure = named_leaves(outputs, tf.is_tensor)
        found[:] = [names, structure]
        return [tf.identity(leaf) for leaf in leaves]

    specs = [
        tf.TensorSpec([size if isinstance(size, int) else None for size in shapes[name]], array.dtype)
        for name, array in examples.arrays.items()
    ]
    try:
        concrete: Any = tf.function(call).get_concrete_function(*specs)
    except Exception:
        raise refusal from None
    return concrete, found[0], found[1]


def _own(model: Model, live: LiveLayers, structure: Any, provenance: Mapping[str, Any]) -> Model:
    """The model with the parameters as Keras has them, and the output tree of its call."""
    main = model.main
    parameters = [*live.parameters.values(), *(p for n, p in model.parameters.items() if n not in live.parameters)]
    function = Function(main.graph, main.output_names, main.updates, structure)
    about = {**provenance, "through": "a graph of TensorFlow"}
    return Model({"main": function}, parameters, constraints=model.constraints, provenance=about)
