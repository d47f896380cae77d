"""Warnings with codes: places where frameworks mean different things by one name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kxchange.graph import Node


@dataclass(frozen=True, slots=True)
class Trap:
    """One known difference between frameworks.

    Attributes:
        code: `KX` and a number, stable for ever.
        name: Short name in lower case.
        summary: One sentence: what differs.
        detail: What kxchange does about it and how to check.
        applies: Whether a node is such a place.
    """

    code: str
    name: str
    summary: str
    detail: str
    applies: Callable[[Node], bool]

    def to_json(self) -> dict[str, str]:
        """The texts."""
        return {"code": self.code, "name": self.name, "summary": self.summary, "detail": self.detail}


def has(op: str, **attrs: Any) -> Callable[[Node], bool]:
    """A test for nodes of an op with these attribute values."""
    return lambda node: node.op == op and all(node.attrs.get(name) == value for name, value in attrs.items())


_LIST = (
    Trap(
        "KX104",
        "gelu-approximate",
        "gelu has an exact (erf) and an approximate (tanh) form; PyTorch, Keras and ONNX default to erf, JAX to tanh.",
        "The form is an attribute of the op and is always written explicitly. The forms differ by up to 4.7e-4 at one "
        "activation, which grows with depth.",
        lambda node: node.op == "gelu",
    ),
    Trap(
        "KX121",
        "norm-epsilon",
        "Frameworks default to different epsilons in normalisation: 1e-3, 1e-5, 1e-6 or 1e-12.",
        "Epsilon is always written explicitly. A wrong one hides until the variance is small: validation also runs "
        "inputs scaled by 1e-2 and compares in float64, where a difference of 1e-10 shows.",
        lambda node: node.op in {"batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm"},
    ),
    Trap(
        "KX131",
        "running-variance",
        "Training updates the running variance with the unbiased variance in PyTorch and the biased one elsewhere.",
        "Inference is the same everywhere. In fine-tuning, running variances drift apart by a factor n/(n-1).",
        has("batch_norm"),
    ),
    Trap(
        "KX140",
        "resize-coordinates",
        "Resizing depends on the coordinate mode, the rounding of nearest neighbours and the cubic coefficient.",
        "All of them are attributes. Targets without the mode get an explicit gather or matrix product.",
        lambda node: node.op == "resize",
    ),
    Trap(
        "KX141",
        "average-pool-padding",
        "Average pooling counts padded elements in PyTorch and Flax by default, and not in Keras, TensorFlow and ONNX.",
        "`count_include_pad` is an attribute and always written explicitly.",
        lambda node: node.op == "avg_pool" and any(any(pair) for pair in node.attrs["padding"]),
    ),
    Trap(
        "KX150",
        "masked-rows",
        "Attention rows without any allowed key are 0 in PyTorch and ONNX, a uniform average in JAX and Keras, NaN in "
        "a plain softmax.",
        "The canonical op gives 0. A source that gives something else is lifted as what it computes.",
        lambda node: node.op == "scaled_dot_product_attention" and len(node.inputs) > 3 and node.inputs[3] is not None,
    ),
    Trap(
        "KX160",
        "rank-ties",
        "Which of several equal values comes first in top_k is not specified in PyTorch.",
        "The reference takes the lower index. Validation accepts other indices of scores that tie within the noise.",
        has("top_k"),
    ),
    Trap(
        "KX170",
        "gru-reset",
        "The reset gate of a GRU acts after the product (PyTorch, Keras 3) or before it (ONNX default, Keras 1).",
        "`reset_after` is an attribute; the two forms cannot be converted into each other.",
        has("gru"),
    ),
    Trap(
        "KX180",
        "integer-division",
        "Integer division rounds down in Python, PyTorch and JAX, and towards zero in ONNX and C.",
        "`floor_divide` and `truncated_divide` are different ops.",
        lambda node: node.op in {"floor_divide", "truncated_divide"},
    ),
    Trap(
        "KX190",
        "float-to-integer",
        "Casting NaN or a float out of range to an integer gives different numbers on every backend.",
        "Only casts of values in range are the same everywhere; validation compares what the cases exercise.",
        lambda node: (
            node.op == "astype"
            and node.attrs["dtype"].is_integer
            and node.inputs[0] is not None
            and node.inputs[0].dtype.is_floating
        ),
    ),
)
TRAPS: dict[str, Trap] = {trap.code: trap for trap in _LIST}
"""Every warning by code."""
