"""One layer of a saved architecture, as data: what a file says about it, with the differences of versions named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kxchange.errors import FormatError, TypeInferenceError
from kxchange.types import DType
from kxchange_keras.keras1 import modern_class, modern_options

Kind = Literal["layer", "operation", "function"]
Options = Mapping[str, Any]

MODELS = frozenset({"Sequential", "Functional", "Model"})
"""Classes that hold layers."""
OWNERS = ("keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras", "keras_core", "builtins")
"""Packages whose classes a file may name."""
FUNCTION_LAYERS = frozenset({"TFOpLambda", "SlicingOpLambda"})
"""What Keras 2 turned a TensorFlow function on symbolic tensors into."""


@dataclass(frozen=True, slots=True)
class LayerConfig:
    """What a file says about one layer.

    Attributes:
        kind: A layer, an operation of `keras.ops`, or a TensorFlow function recorded by Keras 2.
        class_name: Name of its class; a key of our own tables and nothing else.
        name: The layer's name.
        options: Its constructor's arguments.
        dialect: Major version of Keras that wrote it.
        path: Names of the layers around it and its own.
        foreign: Why the class is none of Keras's own; empty where it is.
        build_shape: The input shape it was built for, where the file says so.
    """

    kind: Kind
    class_name: str
    name: str
    options: Options
    dialect: int
    path: tuple[str, ...] = ()
    foreign: str = ""
    build_shape: Any = None

    @property
    def is_model(self) -> bool:
        """Whether it holds layers of its own."""
        return self.kind == "layer" and self.class_name in MODELS

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return "/".join(self.path)

    @property
    def trainable(self) -> bool:
        """Whether training would update its weights."""
        return bool(self.options.get("trainable", True))

    def under(self, *owners: str) -> LayerConfig:
        """The same layer inside others."""
        return replace(self, path=(*owners, self.name))

    def named(self, name: str) -> LayerConfig:
        """The same layer under another name."""
        return replace(self, name=name, path=(*self.path[:-1], name))

    def changed(self, **options: Any) -> LayerConfig:
        """The same layer with some options replaced."""
        return replace(self, options={**self.options, **options})


@dataclass(frozen=True, slots=True)
class Policy:
    """The two dtypes of a layer.

    Attributes:
        compute: What it computes in; floating inputs and weights are cast to it.
        variable: What its weights are kept in.
    """

    compute: DType
    variable: DType


@dataclass(frozen=True, slots=True)
class Reference:
    """Output number `tensor` of call number `node` of the layer called `layer`."""

    layer: str
    node: int
    tensor: int


@dataclass(slots=True)
class CallSite:
    """One use of a layer: arguments whose tensors are references."""

    layer: str
    node: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])


def read_layer(entry: Any, dialect: int, owners: tuple[str, ...] = ()) -> LayerConfig:
    """A layer from its JSON.

    Raises:
        FormatError: It has not the form of one.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("class_name"), str):
        raise FormatError(f"a Keras layer is an object with a class_name, not {str(entry)[:80]!r}.")
    options = entry.get("config")
    if isinstance(options, list):  # Keras 1 and early 2: a Sequential is the list of its layers
        options = {"layers": options}
    if not isinstance(options, Mapping):
        raise FormatError(f"the Keras layer {entry['class_name']!r} has no config.")
    class_name = entry["class_name"].rpartition(">")[2] or entry["class_name"]
    if dialect == 1:
        class_name, options = modern_class(class_name), modern_options(class_name, options)
    name = options.get("name", entry.get("name"))
    if not isinstance(name, str):
        name = class_name.lower()
    built = entry.get("build_config")
    shape = built.get("input_shape") if isinstance(built, Mapping) else None
    kind, foreign = _kind(entry, dialect), _foreign(entry)
    return LayerConfig(kind, class_name, name, options, dialect, (*owners, name), foreign, shape)


def _kind(entry: Mapping[str, Any], dialect: int) -> Kind:
    """What an entry is; the `.h5` of Keras 3 names no module, but only layers say whether they train."""
    if entry["class_name"] in FUNCTION_LAYERS:
        return "function"
    if "module" in entry:
        module = f"{entry['module'] or ''}."
        return "operation" if ".ops." in module or ".activations.activations." in module else "layer"
    bare = dialect >= 3 and not {"trainable", "batch_shape", "layers"} & set(entry["config"])
    return "operation" if bare else "layer"


def _foreign(entry: Mapping[str, Any]) -> str:
    """Why a class is not one that Keras itself provides."""
    registered, module = entry.get("registered_name"), entry.get("module")
    if isinstance(registered, str) and ">" in registered and not registered.startswith("keras"):
        return f"it is a custom class, registered as {registered[:80]!r}"
    if module is None:
        return "" if "module" not in entry or not registered else f"it is a custom class, {str(registered)[:80]!r}"
    if not isinstance(module, str) or not any(module == owner or module.startswith(f"{owner}.") for owner in OWNERS):
        return f"it is a class of {str(module)[:80]!r}, not of Keras"
    return ""


def read_policy(config: LayerConfig, default: Policy) -> Policy:
    """The dtypes of a layer.

    Raises:
        TypeInferenceError: They are quantized or unknown.
    """
    stated = config.options.get("dtype")
    while isinstance(stated, Mapping):
        inner = stated.get("config")
        stated = inner.get("name", inner.get("default_policy")) if isinstance(inner, Mapping) else None
    if stated is None:
        return default
    text = str(stated)
    if text.startswith("mixed_"):
        return Policy(_dtype(text.removeprefix("mixed_")), DType.FLOAT32)
    if text in ("infer", "_infer", "float32_ref", "string"):
        return default
    return Policy(_dtype(text), _dtype(text))


def _dtype(text: str) -> DType:
    if text not in DType.__members__.values():
        raise TypeInferenceError(f"the dtype policy {text[:60]!r} is not one of plain or mixed floating types")
    return DType(text)
