"""The layers of a model with what they own: variables, layers inside, wiring; from configs alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from kxchange.errors import TypeInferenceError
from kxchange.types import DType
from kxchange_keras.layer_config import LayerConfig, Policy, read_policy
from kxchange_keras.registry import FUNCTIONS, LAYERS, OPERATIONS, REFUSED, LayerRule, Weight
from kxchange_keras.topology import Topology, read_topology

FLOAT32 = Policy(DType.FLOAT32, DType.FLOAT32)
NO_RULE = "kxchange has no rule for it"
Problems = dict[tuple[str, str], list[str]]


@dataclass(slots=True)
class Layer:
    """One layer and what is inside it.

    Attributes:
        config: What the file says.
        policy: Its dtypes.
        rule: What kxchange knows of its class; None for models and operations.
        weights: Its own variables, in order.
        children: Layers inside by attribute (of a wrapper) or by name (of a model).
        topology: How the layers of a model are wired.
        trainable: Whether training updates its weights.
        namesakes_before: How many layers of its class stand before it in the list that holds it.
    """

    config: LayerConfig
    policy: Policy
    rule: LayerRule | None = None
    weights: list[Weight] = field(default_factory=list[Weight])
    children: dict[str, Layer] = field(default_factory=dict[str, "Layer"])
    topology: Topology | None = None
    trainable: bool = True
    namesakes_before: int = 0

    def walk(self) -> Iterator[Layer]:
        """This layer and all inside it, outer ones first, in order."""
        yield self
        for child in self.children.values():
            yield from child.walk()

    def variable_name(self, weight: Weight) -> str:
        """Name of one of its variables in the model: the layers around it, without the outermost model."""
        return self.variable_name_of(weight.name)

    def variable_name_of(self, name: str) -> str:
        """A name inside this layer, as the model has it."""
        return "/".join((*self.config.path[1:], name))


def grow(config: LayerConfig, problems: Problems, default: Policy = FLOAT32, trainable: bool = True) -> Layer:
    """The tree of a layer; what cannot be taken is added to `problems`, all of it."""
    if config.kind == "operation" and config.class_name in LAYERS and config.class_name not in OPERATIONS:
        config = replace(config, kind="layer")  # one whose config says of nothing that only layers have
    try:
        policy = read_policy(config, default)
    except TypeInferenceError as error:
        problems.setdefault((config.class_name, str(error)), []).append(config.place)
        policy = default
    made = Layer(config, policy, trainable=trainable and config.trainable)
    if reason := _objection(config):
        problems.setdefault((config.class_name, reason), []).append(config.place)
    elif config.is_model:
        made.topology = read_topology(config)
        inner = made.topology.layers.items()
        made.children = {name: grow(child, problems, FLOAT32, made.trainable) for name, child in inner}
    elif config.kind == "layer":
        _furnish(made, LAYERS[config.class_name], problems)
    return made


def _furnish(made: Layer, rule: LayerRule, problems: Problems) -> None:
    made.rule = rule
    made.weights = rule.variables(made.config)
    if rule.children is None:
        return
    try:
        inner = rule.children(made.config)
    except TypeInferenceError as error:
        problems.setdefault((made.config.class_name, str(error)), []).append(made.config.place)
        return
    made.children = {
        name: grow(child.under(*made.config.path), problems, made.policy, made.trainable)
        for name, child in inner.items()
    }
    counts: dict[str, int] = {}
    for child in made.children.values():
        child.namesakes_before = counts.get(child.config.class_name, 0)
        counts[child.config.class_name] = child.namesakes_before + 1


def function_name(config: LayerConfig) -> str:
    """The TensorFlow function that a layer of Keras 2 records."""
    return "__operators__.getitem" if config.class_name == "SlicingOpLambda" else str(config.options.get("function"))


def _objection(config: LayerConfig) -> str:
    """Why a layer cannot be taken; empty where it can."""
    if config.foreign:
        return config.foreign
    if config.kind == "operation":
        return "" if config.class_name in OPERATIONS else f"{NO_RULE} among the keras.ops"
    if config.kind == "function":
        name = function_name(config)
        return "" if name in FUNCTIONS else f"{NO_RULE} for the TensorFlow function {name[:60]!r}"
    if config.is_model or config.class_name in LAYERS:
        return ""
    return REFUSED.get(config.class_name, f"it is no layer of Keras, or {NO_RULE}")
