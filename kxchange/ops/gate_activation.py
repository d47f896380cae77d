"""The activations a recurrent layer may name: unary ops, with other attributes than their defaults if need be.

``"tanh"``, or ``("hard_sigmoid", ("alpha", 0.2))`` for the one of old Keras files (trap T06).
"""

from __future__ import annotations

from typing import Any, cast

from kxchange.errors import TypeInferenceError
from kxchange.spec import REGISTRY, Op, Tensor

Activation = str | tuple[Any, ...]
"""Name of an op, or the name followed by (attribute, value) pairs; "linear" is none at all."""

ACTIVATIONS = frozenset(
    {
        "celu",
        "elu",
        "exp",
        "gelu",
        "hard_sigmoid",
        "hard_swish",
        "hard_tanh",
        "leaky_relu",
        "linear",
        "log_sigmoid",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "softplus",
        "softsign",
        "tanh",
        "tanh_shrink",
        "thresholded_relu",
    }
)


def check_activation(activation: Activation) -> None:
    """Demand a known activation with attributes that its op has.

    Raises:
        TypeInferenceError: It is none.
    """
    if activation != "linear":
        _resolve(activation)


def _resolve(activation: Activation) -> tuple[Op[...], dict[str, Any]]:
    parts: tuple[Any, ...] = (activation,) if isinstance(activation, str) else activation
    if not parts or parts[0] not in ACTIVATIONS or parts[0] not in REGISTRY:
        raise TypeInferenceError(f"{activation!r} is no activation; use one of {', '.join(sorted(ACTIVATIONS))}.")
    if not all(isinstance(pair, tuple) and len(cast("tuple[Any, ...]", pair)) == 2 for pair in parts[1:]):
        raise TypeInferenceError(f"{activation!r} is no name followed by (attribute, value) pairs.")
    spec = REGISTRY[parts[0]]
    return spec, spec.bind_attrs(dict(parts[1:]))


def evaluate_activation(activation: Activation, x: Any) -> Any:
    """The activation of an array, by the reference."""
    if activation == "linear":
        return x
    spec, attrs = _resolve(activation)
    return spec.reference(x, **attrs)


def apply_activation(activation: Activation, x: Tensor) -> Tensor:
    """The activation of a value, as a node."""
    if activation == "linear":
        return x
    spec, attrs = _resolve(activation)
    return spec(x, **attrs)
