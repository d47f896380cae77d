"""The walk through a model's layers that turns every use of one into nodes, and collects all that it cannot."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kxchange.errors import Blocker, CaptureError, DimError, TypeInferenceError
from kxchange.graph import PROVENANCE, Source, Value, emitting, parameter, placeholder
from kxchange.model import Parameter
from kxchange.types import TensorType
from kxchange_keras.call import Call, Traced, cast, masks, values
from kxchange_keras.decoding import Unreadable, leaves, map_tree
from kxchange_keras.layer_config import Reference
from kxchange_keras.layer_tree import Layer, function_name
from kxchange_keras.registry import FUNCTIONS, OPERATIONS, Rule
from kxchange_keras.topology import Topology

IGNORED = frozenset({"training", "mask", "name"})
"""Arguments of a call that rules do not take: inference only, masks stand apart, names say nothing."""
NORMS = ("BatchNormalization", "BatchNormalizationV1", "BatchNormalizationV2", "SpectralNormalization")
"""Layers that always do something else while they are trained; others where they drop anything."""
MAX_NESTING = 100


class Missing:
    """The result of a layer that could not be lifted; what depends on it is skipped."""


MISSING = Missing()


class Lifter:
    """One lift: every parameter is read once, and blockers are collected.

    Attributes:
        parameters: The model's parameters by name.
        flipped_kernels: Whether convolutions turned their windows around when the weights were made (Theano).
        blockers: Places by class and reason.
        state_inputs: Inputs for the states of stateful layers, by name.
        state_outputs: What they are after the call: output name -> (input name, value).
    """

    def __init__(self, parameters: Mapping[str, Parameter], *, flipped_kernels: bool = False) -> None:
        self.parameters = parameters
        self.flipped_kernels = flipped_kernels
        self.blockers: dict[tuple[str, str], list[str]] = {}
        self.state_inputs: dict[str, Value] = {}
        self.state_outputs: dict[str, tuple[str, Value]] = {}
        self._read: dict[str, Value] = {}
        self._depth = 0

    def parameter(self, name: str) -> Value:
        """The one node that reads a parameter."""
        if name not in self._read:
            with emitting():
                self._read[name] = parameter(name, self.parameters[name].type)
        return self._read[name]

    def states(self, layer: Layer, x: Value, sizes: list[Any]) -> list[Value]:
        """Inputs for the states that a stateful layer keeps from call to call."""
        made: list[Value] = []
        for number, shape in enumerate(sizes):
            name = f"{layer.variable_name_of('state')}_{number}"
            if name in self.state_inputs:
                raise CaptureError("a stateful layer is used twice")
            if not all(isinstance(size, int) for size in shape):
                raise CaptureError("a stateful layer has a batch of unknown size")
            self.state_inputs[name] = placeholder(name, TensorType(x.dtype, tuple(shape)))
            made.append(self.state_inputs[name])
        return made

    def keep_states(self, layer: Layer, states: tuple[Value, ...]) -> None:
        """The states after the call."""
        for number, state in enumerate(states):
            name = f"{layer.variable_name_of('state')}_{number}"
            self.state_outputs[f"{layer.variable_name_of('next_state')}_{number}"] = name, state

    def collected(self) -> list[Blocker]:
        """All blockers so far."""
        return [Blocker(name, reason, tuple(places)) for (name, reason), places in self.blockers.items()]

    def source(self, layer: Layer) -> Source:
        """Where the nodes of a layer come from."""
        return Source(path=layer.config.place)

    def place(self, layer: Layer) -> str:
        """Where a layer stands, for messages."""
        return layer.config.place

    def call(self, layer: Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Use a layer on traced tensors; returns traced tensors, nested as the layer returns them."""
        if any(leaf is MISSING for leaf in leaves([args, dict(kwargs)])):
            return MISSING
        if kwargs.get("training") is True and (busy := _trained(layer)):
            reason = "it is called with training=True, which makes it random or dependent on the rest of the batch"
            self.blockers.setdefault((busy.config.class_name, reason), []).append(self.place(busy))
            return MISSING
        if layer.config.is_model:
            return self._call_model(layer, args, kwargs)
        call = Call(self, layer, *_autocast(layer, args, kwargs))
        before = PROVENANCE.name, PROVENANCE.source
        PROVENANCE.name = layer.config.place.partition("/")[2] or layer.config.name
        PROVENANCE.source = self.source(layer)
        try:
            return self._masked(call, self._apply(call))
        except (CaptureError, TypeInferenceError, DimError) as error:
            self.blockers.setdefault((layer.config.class_name, str(error)), []).append(self.place(layer))
            return MISSING
        finally:
            PROVENANCE.name, PROVENANCE.source = before

    def run(self, topology: Topology, layers: Mapping[str, Layer], inputs: Mapping[str, Traced]) -> Any:
        """Run a model's graph on its inputs by name; returns its outputs, nested as it returns them."""
        found: dict[tuple[str, int], list[Any]] = {(name, 0): [traced] for name, traced in inputs.items()}

        def read(leaf: Any) -> Any:
            if not isinstance(leaf, Reference):
                return leaf
            results = found[leaf.layer, leaf.node]
            if results and results[0] is MISSING:
                return MISSING
            if leaf.tensor >= len(results):
                raise CaptureError(f"{leaf.layer!r} has no output number {leaf.tensor}.")
            return results[leaf.tensor]

        for site in topology.calls:
            result = self.call(layers[site.layer], map_tree(read, site.args), map_tree(read, site.kwargs))
            found[site.layer, site.node] = leaves(result)
            if _takes_masks(layers[site.layer]):
                for leaf in leaves([site.args, site.kwargs]):
                    if isinstance(leaf, Reference):
                        found[leaf.layer, leaf.node] = [_bare(item) for item in found[leaf.layer, leaf.node]]
        return map_tree(read, topology.outputs)

    def _call_model(self, layer: Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        topology = layer.topology
        if topology is None:
            return MISSING
        given = leaves(args[0]) if len(args) == 1 else leaves(list(args))
        stated = leaves(kwargs["mask"]) if kwargs.get("mask") is not None else [None] * len(given)
        inputs: dict[str, Traced] = {}
        for reference, tensor, mask in zip(leaves(topology.inputs), given, stated, strict=True):
            mask = mask.value if isinstance(mask, Traced) else tensor.mask
            inputs[reference.layer] = Traced(cast(tensor.value, layer.children[reference.layer].policy.compute), mask)
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise CaptureError(f"models are nested more than {MAX_NESTING} levels")
        try:
            return self.run(topology, layer.children, inputs)
        finally:
            self._depth -= 1

    def _apply(self, call: Call) -> Any:
        config = call.config
        if unreadable := [leaf for leaf in leaves([call.args, call.kwargs]) if isinstance(leaf, Unreadable)]:
            call.refuse(f"it is called with {unreadable[0]!r}")
        if config.kind == "operation":
            rule: Rule = OPERATIONS[config.class_name]
        elif config.kind == "function":
            rule = FUNCTIONS[function_name(config)]
        else:
            assert call.layer.rule is not None
            rule = call.layer.rule.lift
        kwargs = {name: value for name, value in values(call.kwargs).items() if name not in IGNORED}
        _check_arguments(rule, call, kwargs)
        return rule(call, *values(call.args), **kwargs)

    def _masked(self, call: Call, result: Any) -> Any:
        """The outputs with their masks: those the rule gave, else those the class's mask rule gives."""
        rule = call.layer.rule
        outputs = leaves(result)
        given: list[Any] = [None] * len(outputs)
        if rule is not None and rule.mask in ("keep", "take"):
            given = [*leaves(call.carried_mask), *given]
        elif rule is not None and callable(rule.mask):
            with emitting(PROVENANCE.name, PROVENANCE.source):
                given = [*leaves(rule.mask(call)), *given]
        rest = iter(given)
        return map_tree(lambda leaf: _with_mask(leaf, next(rest)), result)


def _trained(layer: Layer) -> Layer | None:
    """The first layer in a tree that does something else in training."""
    for inner in layer.walk():
        name, options = inner.config.class_name, inner.config.options
        rates = [options.get(key) or 0 for key in ("rate", "stddev", "dropout", "recurrent_dropout")]
        drops = any(isinstance(rate, int | float) and rate > 0 for rate in rates)
        if name in NORMS or (drops and inner.config.kind == "layer"):
            return inner
    return None


def _takes_masks(layer: Layer) -> bool:
    return layer.rule is not None and layer.rule.mask == "take" and layer.config.dialect >= 3


def _bare(item: Any) -> Any:
    return Traced(item.value) if isinstance(item, Traced) else item


def _with_mask(leaf: Any, mask: Value | None) -> Any:
    return leaf if not isinstance(leaf, Value) else Traced(leaf, mask)


def _autocast(layer: Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Floating tensors in the dtype that the layer computes in, as Keras casts them."""
    compute = layer.policy.compute
    if layer.config.kind != "layer" or not compute.is_floating or not layer.config.options.get("autocast", True):
        return args, dict(kwargs)

    def fit(leaf: Any) -> Any:
        floating = isinstance(leaf, Traced) and leaf.value.dtype.is_floating
        return Traced(cast(leaf.value, compute), leaf.mask) if floating else leaf

    return map_tree(fit, args), map_tree(fit, dict(kwargs))


def _check_arguments(rule: Rule, call: Call, kwargs: Mapping[str, Any]) -> None:
    try:
        inspect.signature(rule).bind(call, *call.args, **kwargs)
    except TypeError as error:
        call.refuse(f"it is called in a way that has no rule: {error}")


__all__ = ["MISSING", "Lifter", "masks"]
