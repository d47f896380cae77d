"""What a rule is given: one use of one layer, with its options, weights, masks and the layers inside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from kxchange import ops
from kxchange.errors import CaptureError
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_keras.decoding import integers, leaves, map_tree
from kxchange_keras.layer_config import LayerConfig
from kxchange_keras.layer_tree import Layer

if TYPE_CHECKING:
    from kxchange_keras.lifting import Lifter

_NONE: Any = object()


@dataclass(frozen=True, slots=True)
class Traced:
    """A tensor of the model and the mask that Keras attaches to it.

    Attributes:
        value: The tensor.
        mask: Which of its steps count, bool; None where all do.
    """

    value: Value
    mask: Value | None = None


class Call:
    """One use of a layer.

    Attributes:
        lifter: Who calls the rule.
        layer: The layer.
        args: Its positional arguments with `Traced` leaves.
        kwargs: Its keyword arguments, likewise.
    """

    __slots__ = ("args", "kwargs", "layer", "lifter")

    def __init__(self, lifter: Lifter, layer: Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.lifter = lifter
        self.layer = layer
        self.args = args
        self.kwargs = dict(kwargs)

    @property
    def config(self) -> LayerConfig:
        """What the file says of the layer."""
        return self.layer.config

    @property
    def dialect(self) -> int:
        """Major version of Keras that wrote it."""
        return self.layer.config.dialect

    @property
    def dtype(self) -> DType:
        """What the layer computes in."""
        return self.layer.policy.compute

    @property
    def mask(self) -> Any:
        """The mask that the layer computes with: stated, or carried by its first argument (nested like it).

        Keras 3 hands a carried mask on only where there is one tensor argument.
        """
        stated = self.kwargs.get("mask")
        if stated is None and self.dialect >= 3 and self._tensor_arguments() > 1:
            return None
        return self.carried_mask

    @property
    def carried_mask(self) -> Any:
        """The mask that goes on from the layer."""
        stated = self.kwargs.get("mask")
        if stated is not None:
            return map_tree(lambda leaf: leaf.value if isinstance(leaf, Traced) else leaf, stated)
        return masks(self.args[0]) if self.args else None

    def _tensor_arguments(self) -> int:
        given = [*self.args, *(value for name, value in self.kwargs.items() if name != "mask")]
        return sum(any(isinstance(leaf, Traced) for leaf in leaves(argument)) for argument in given)

    def option(self, name: str, default: Any = _NONE) -> Any:
        """A constructor argument; `default` is what Keras took where the file does not say.

        Raises:
            CaptureError: The file must say it and does not.
        """
        value = self.config.options.get(name, default)
        if value is _NONE:
            self.refuse(f"its config lacks {name!r}")
        return value

    def axes(self, name: str, count: int, default: Any = _NONE) -> tuple[int, ...]:
        """One whole number per spatial axis."""
        return integers(self.option(name, default), count, name)

    def has(self, name: str) -> bool:
        """Whether the layer has this variable."""
        return any(weight.name == name for weight in self.layer.weights)

    def weight(self, name: str) -> Value:
        """A variable, in the dtype that the layer computes in."""
        weight = next(weight for weight in self.layer.weights if weight.name == name)
        return cast(self.lifter.parameter(self.layer.variable_name(weight)), self.dtype)

    def optional(self, name: str) -> Value | None:
        """A variable; None where the layer does without it."""
        return self.weight(name) if self.has(name) else None

    def child(self, name: str) -> Layer:
        """A layer inside."""
        return self.layer.children[name]

    def inside(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a layer inside on `Traced` values; returns what it returns."""
        return self.lifter.call(self.child(name), args, kwargs)

    def apply(self, name: str, x: Value) -> Value:
        """Call a layer inside on one tensor without a mask."""
        result = self.inside(name, Traced(x))
        return result.value if isinstance(result, Traced) else result

    def refuse(self, reason: str) -> NoReturn:
        """Give up on this layer: it becomes one of the blockers.

        Raises:
            CaptureError: always.
        """
        raise CaptureError(reason)


def masks(tree: Any) -> Any:
    """The masks of traced tensors, nested like them."""
    return map_tree(lambda leaf: leaf.mask if isinstance(leaf, Traced) else None, tree)


def values(tree: Any) -> Any:
    """The tensors of a tree, without masks."""
    return map_tree(lambda leaf: leaf.value if isinstance(leaf, Traced) else leaf, tree)


def cast(x: Value, dtype: DType) -> Value:
    """X in `dtype`."""
    return x if x.dtype is dtype else ops.astype(x, dtype=dtype)


def each(tree: Any, function: Callable[[Value], Any]) -> Any:
    """`function` of every tensor of a tree."""
    return map_tree(lambda leaf: function(leaf) if isinstance(leaf, Value) else leaf, tree)


def leaf_masks(call: Call) -> list[Any]:
    """The masks that a layer is called with, one per tensor of its first argument."""
    found = call.carried_mask
    if isinstance(found, list | tuple):
        return list(found)
    return [found] * len(leaves(call.args[0])) if call.args else []
