"""Any trained model, from any framework, as a normal model in any other, with proof that it is the same model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kxchange.converter import Converter as Converter
    from kxchange.converter import converters as converters
    from kxchange.errors import KxchangeError as KxchangeError
    from kxchange.functions import join as join
    from kxchange.hub import capture as capture
    from kxchange.hub import load as load
    from kxchange.hub import run as run
    from kxchange.hub import save as save
    from kxchange.model import Model as Model
    from kxchange.types import DType as DType
    from kxchange.types import TensorType as TensorType
    from kxchange.validation.convert import convert as convert
    from kxchange.validation.validate import validate as validate
    from kxchange.weight_files import read_weights as read_weights
    from kxchange.weights import WeightReport as WeightReport
    from kxchange.weights import load_weights as load_weights

__version__ = "0.1.0"

_HOMES = {
    "Converter": "kxchange.converter",
    "DType": "kxchange.types",
    "KxchangeError": "kxchange.errors",
    "Model": "kxchange.model",
    "TensorType": "kxchange.types",
    "WeightReport": "kxchange.weights",
    "capture": "kxchange.hub",
    "convert": "kxchange.validation.convert",
    "converters": "kxchange.converter",
    "join": "kxchange.functions",
    "load": "kxchange.hub",
    "run": "kxchange.hub",
    "save": "kxchange.hub",
    "load_weights": "kxchange.weights",
    "read_weights": "kxchange.weight_files",
    "validate": "kxchange.validation.validate",
}
__all__ = [*_HOMES, "__version__", "ops"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import kxchange` costs nothing."""
    if name == "ops":
        return import_module("kxchange.ops")
    if name not in _HOMES:
        raise AttributeError(f"module 'kxchange' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
