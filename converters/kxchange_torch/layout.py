"""Which models are stored as torch's own layers would be, and what their parameters are called then."""

from __future__ import annotations

from collections.abc import Mapping

from kxchange.errors import BuildError
from kxchange.model import Model
from kxchange.passes.native_parameters import Reader

LEAVES: Mapping[Reader, str] = {
    ("batch_norm", "mean"): "running_mean",
    ("batch_norm", "variance"): "running_var",
}
"""What `nn` calls an operand, where that is not ``weight`` or ``bias``."""
WORDS = {"weight": "weight", "scale": "weight", "bias": "bias"}
"""What `nn` calls the operands of the layers that have them."""
LAYERS = ("linear", "conv", "conv_transpose", "batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm")


def is_foreign(model: Model, layout: str) -> bool:
    """Whether the model's parameters are to be stored as torch does.

    Args:
        model: What is built.
        layout: ``"source"``, ``"native"``, or ``"auto"``: native unless the parameters are torch's, or nobody's.

    Raises:
        BuildError: Another word.
    """
    if layout not in ("auto", "native", "source"):
        raise BuildError(f"torch has the layouts 'auto', 'native' and 'source', not {layout!r}.")
    return layout == "native" or (layout == "auto" and model.home not in ("", "torch", "pt2"))


def native_name(name: str, readers: frozenset[Reader]) -> str:
    """A dotted path; its last part is what `nn` calls the operand, where all readers are layers that agree on it.

    ``dense/kernel`` of a Keras model, read as the weight of a `linear`, is ``dense.weight``. A name without a path
    stays: there would be nothing left of it.
    """
    *path, last = (part for part in name.replace("/", ".").split(".") if part)
    found = {LEAVES.get(reader) or (WORDS.get(reader[1]) if reader[0] in LAYERS else None) for reader in readers}
    word = found.pop() if len(found) == 1 else None
    return ".".join((*path, word if word and path else last)) if path else name
