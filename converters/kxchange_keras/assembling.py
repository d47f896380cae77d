"""From a tree of layers and its weights to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kxchange.errors import Blocker, FormatError, TypeInferenceError, UnsupportedOpError
from kxchange.fresh import numbering
from kxchange.graph import Graph
from kxchange.model import Function, Model, Parameter
from kxchange_keras import lift_rules  # noqa: F401 - fills the tables
from kxchange_keras.layer_config import LayerConfig
from kxchange_keras.layer_tree import Layer, Problems, grow
from kxchange_keras.lifting import Lifter
from kxchange_keras.signature import input_placeholders, merged_symbols, name_outputs

ADVICE = "Rebuild the model from built-in layers, or capture the live object instead of the file."


def plant(config: LayerConfig) -> Layer:
    """The tree of a model.

    Raises:
        UnsupportedOpError: Classes that kxchange does not take, all of them.
        FormatError: The outermost object is no model.
    """
    if config.foreign or not config.is_model:
        reason = config.foreign or "it is no Sequential or Functional model, so its wiring is code that no file holds"
        raise UnsupportedOpError("keras", [Blocker(config.class_name, reason, (config.name,))], ADVICE)
    problems: Problems = {}
    tree = grow(config, problems)
    if problems:
        blockers = [Blocker(name, reason, tuple(places)) for (name, reason), places in problems.items()]
        raise UnsupportedOpError("keras", blockers, ADVICE)
    return tree


def assemble(
    tree: Layer,
    parameters: Sequence[Parameter],
    *,
    dynamic: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    flipped_kernels: bool = False,
) -> Model:
    """The model of a tree of layers.

    Args:
        tree: The layers.
        parameters: All its variables, in order.
        dynamic: Dims by input name, given by the user.
        provenance: Where it came from.
        flipped_kernels: Whether the weights were made with Theano.

    Raises:
        UnsupportedOpError: Uses of layers that kxchange does not take, all of them.
    """
    named = {parameter.name: parameter for parameter in parameters}
    function = _lift(tree, Lifter(named, flipped_kernels=flipped_kernels), dynamic, {})
    if names := merged_symbols(function.graph):
        function = _lift(tree, Lifter(named, flipped_kernels=flipped_kernels), dynamic, names)
    return Model({"main": function}, parameters, provenance=provenance)


def _lift(tree: Layer, lifter: Lifter, dynamic: Mapping[str, Any] | None, names: Mapping[str, str]) -> Function:
    topology = tree.topology
    if topology is None:
        raise FormatError("the Keras model has no layers.")
    try:
        inputs = input_placeholders(tree, dynamic, names)
    except TypeInferenceError as error:
        raise UnsupportedOpError(
            "keras", [Blocker("InputLayer", str(error))], "Give the input a dense shape."
        ) from None
    with numbering(str(dim) for traced in inputs.values() for dim in traced.value.shape):
        results = lifter.run(topology, tree.children, inputs)
    if blockers := lifter.collected():
        raise UnsupportedOpError("keras", blockers, ADVICE)
    output_names, values, structure = name_outputs(topology.outputs, results)
    places = (*(traced.value for traced in inputs.values()), *lifter.state_inputs.values())
    updates = {name: before for name, (before, _) in lifter.state_outputs.items()}
    graph = Graph(places, (*values, *(value for _, value in lifter.state_outputs.values())))
    return Function(graph, (*output_names, *updates), updates, structure)
