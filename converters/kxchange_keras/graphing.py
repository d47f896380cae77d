"""Live Keras models whose code calls TensorFlow itself: taken as the graph that TensorFlow traces of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from kxchange.dims import Dim
from kxchange.errors import KxchangeError
from kxchange.model import Function, Model
from kxchange_keras.examples_in import Examples, plan_shapes
from kxchange_keras.live_layers import LiveLayers
from kxchange_keras.private import backend_variables
from kxchange_keras.subclassed import named_leaves


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
    if keras.backend.backend() != "tensorflow":
        raise refusal
    from kxchange_tensorflow.capture import lift_concrete, writes

    shapes, _ = plan_shapes(examples, dynamic)
    concrete, names, structure = _traced(source, examples, shapes, refusal)
    if writes(concrete):  # what was written would be lost
        raise refusal
    live = LiveLayers(source)
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
    return _own(model, live, structure, provenance)


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
