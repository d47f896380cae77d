"""The two lifting tables of Keras: by layer class, and by class of a `keras.ops` operation.

A file's class names are keys of these tables and nothing else: what they do not hold is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from kxchange_keras.layer_config import LayerConfig, Options

Rule = Callable[..., Any]
R = TypeVar("R", bound=Rule)
Children = Callable[[LayerConfig], Mapping[str, LayerConfig]]
MaskRule = Literal["keep", "drop", "take"] | Callable[..., Any]
"""``take``: kept, and in Keras 3 taken off the arguments, so that layers called later do not see it."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A variable that a layer makes.

    Attributes:
        name: Its name in the layer.
        when: Whether the layer has it, from its options.
        trainable: Whether training updates it in a trainable layer.
        repeats: Whether it is a second name of a variable of a layer inside, stored once more.
    """

    name: str
    when: Callable[[Options], bool] | None = None
    trainable: bool = True
    repeats: bool = False


def having(name: str, option: str, default: bool = True, *, trainable: bool = True) -> Weight:
    """A variable that an option switches on."""
    return Weight(name, lambda options: bool(options.get(option, default)), trainable)


@dataclass(frozen=True, slots=True)
class LayerRule:
    """What kxchange knows of a layer class.

    Attributes:
        lift: ``(call, *arguments) -> values``.
        weights: Its variables, in the order in which it makes them, trainable ones first.
        children: Layers inside it by attribute.
        mask: Whether outputs carry the first argument's mask, none, or what a function says; see `MaskRule`.
    """

    lift: Rule
    weights: Sequence[Weight] | Callable[[LayerConfig], Sequence[Weight]]
    children: Children | None
    mask: MaskRule

    def variables(self, config: LayerConfig) -> list[Weight]:
        """The variables that a layer with these options has."""
        declared = self.weights(config) if callable(self.weights) else self.weights
        return [weight for weight in declared if weight.when is None or weight.when(config.options)]


LAYERS: dict[str, LayerRule] = {}
OPERATIONS: dict[str, Rule] = {}
FUNCTIONS: dict[str, Rule] = {}
REFUSED: dict[str, str] = {}
"""Layers of Keras that are refused, with the reason."""


def layer(
    *names: str,
    weights: Sequence[Weight | str] | Callable[[LayerConfig], Sequence[Weight]] = (),
    children: Children | None = None,
    mask: MaskRule = "drop",
) -> Callable[[R], R]:
    """Register the rule of layer classes."""
    declared = weights if callable(weights) else tuple(Weight(w) if isinstance(w, str) else w for w in weights)

    def register(rule: R) -> R:
        for name in names:
            _add(LAYERS, name, LayerRule(rule, declared, children, mask))
        return rule

    return register


def operation(*names: str) -> Callable[[R], R]:
    """Register the rule of `keras.ops` operation classes: ``(call, *arguments as in the operation's call)``."""

    def register(rule: R) -> R:
        for name in names:
            _add(OPERATIONS, name, rule)
        return rule

    return register


def function(*names: str) -> Callable[[R], R]:
    """Register the rule of TensorFlow functions as Keras 2 recorded them: ``math.add``, ``nn.relu``."""

    def register(rule: R) -> R:
        for name in names:
            _add(FUNCTIONS, name, rule)
        return rule

    return register


def refuse_layers(reason: str, *names: str) -> None:
    """Name layer classes of Keras that cannot be taken, and why."""
    for name in names:
        _add(REFUSED, name, reason)


def _add(table: dict[str, Any], name: str, rule: Any) -> None:
    if name in table:
        raise ValueError(f"keras has two rules for {name!r}")
    table[name] = rule
