"""The calls of a Keras model that is code, lifted as they happen: by rules of layers, and below by operation."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from kxchange import ops
from kxchange.constant import Constant
from kxchange.dims import symbol
from kxchange.errors import CaptureError
from kxchange.fresh import fresh_symbol
from kxchange.graph import Value, emitting, placeholder
from kxchange.types import DType, TensorType
from kxchange_keras.call import Traced
from kxchange_keras.decoding import leaves, map_tree
from kxchange_keras.layer_config import LayerConfig, Policy
from kxchange_keras.layer_tree import NO_RULE, Layer
from kxchange_keras.lifting import MISSING, Lifter
from kxchange_keras.live_layers import LiveLayers
from kxchange_keras.private import call_training
from kxchange_keras.registry import OPERATIONS
from kxchange_keras.sources_in import source_of, user_place
from kxchange_keras.symbolic import Size, Sizes, SymbolicTensor, dim_of
from kxchange_keras.weights_in import snake_case

CONTROL: dict[str, Callable[..., Any]] = {}
"""Operations that take functions: ``(tracer, operation, *arguments)`` on symbolic tensors."""
MIN_BYTES = 32
"""Size from which a constant that equals a variable is no accident."""


class LiveLifter(Lifter):
    """A lift whose layers are live: parameters go by the paths of variables, nodes by lines of source.

    Args:
        live: The layers and variables.
        parameters: The model's parameters by name.
    """

    def __init__(self, live: LiveLayers, parameters: Mapping[str, Any]) -> None:
        super().__init__(parameters)
        self.live = live

    def parameter(self, name: str) -> Value:
        """The one node that reads a parameter, by its name in the tree of a layer or in the model."""
        return super().parameter(self.live.names.get(name, name))

    def source(self, layer: Layer) -> Any:
        """The line of the user's code that is running."""
        return source_of(layer.config.place)

    def place(self, layer: Layer) -> str:
        """Where a layer is called."""
        return f"{layer.config.place} at {user_place()}"


class Tracer:
    """One trace of one model.

    Args:
        live: The model's layers and variables.
        lifter: What makes nodes of calls.
        sizes: The sizes of the trace.
        fingerprints: Names of the parameters by their bytes.
    """

    def __init__(self, live: LiveLayers, lifter: LiveLifter, sizes: Sizes, fingerprints: Mapping[bytes, str]) -> None:
        self.live = live
        self.lifter = lifter
        self.sizes = sizes
        self.fingerprints = fingerprints
        self.paused = False
        self.path: list[str] = []
        self.failed: str = ""
        self.written: dict[str, Value] = {}

    @contextmanager
    def pausing(self) -> Any:
        """Keras as it is, for the moment."""
        before, self.paused = self.paused, True
        try:
            yield
        finally:
            self.paused = before

    # ---------------------------------------------------------------- tensors

    def wrap(self, result: Any) -> Any:
        """Traced values as symbolic tensors, nested alike."""
        return map_tree(self._wrap_leaf, result)

    def _wrap_leaf(self, leaf: Any) -> Any:
        if isinstance(leaf, Value):
            return SymbolicTensor(leaf, self.sizes)
        if not isinstance(leaf, Traced):
            return leaf
        made = SymbolicTensor(leaf.value, self.sizes)
        if leaf.mask is not None:
            made._keras_mask = SymbolicTensor(leaf.mask, self.sizes)
        return made

    def unwrap(self, leaf: Any) -> Any:
        """An argument as the lifting rules take it."""
        leaf = self.tensor(leaf)
        if isinstance(leaf, SymbolicTensor):
            mask = leaf._keras_mask
            return Traced(leaf.value, mask.value if isinstance(mask, SymbolicTensor) else None)
        return dim_of(leaf)

    def tensor(self, array: Any) -> Any:
        """An array or a variable as a symbolic tensor; anything else as it is.

        Raises:
            CaptureError: The array is a weight that lost its name, or a symbolic tensor of another trace.
        """
        if isinstance(array, keras.Variable):
            with emitting(*self._provenance("variable")):
                return array.value
        if isinstance(array, keras.KerasTensor) and not isinstance(array, SymbolicTensor):
            raise CaptureError("it uses a symbolic tensor that was made outside of its call")
        if isinstance(array, np.generic) and keras.backend.backend() == "jax":
            return array.item()
        with self.pausing():
            if not (isinstance(array, np.ndarray | np.generic) or keras.ops.is_tensor(array)):
                return array
            found = array if isinstance(array, np.generic) else keras.ops.convert_to_tensor(array)
            plain = np.asarray(found if isinstance(array, np.generic) else keras.ops.convert_to_numpy(found))
        return self._constant(plain)

    def _constant(self, array: Any) -> SymbolicTensor:
        name = self.fingerprints.get(fingerprint(array)) if array.nbytes >= MIN_BYTES else None
        if name is not None:
            raise CaptureError(
                f"it reads the weight {name!r} as an array, which would make a constant of it. Use the variable itself"
            )
        with emitting(*self._provenance("constant")):
            return SymbolicTensor(ops.constant(value=Constant(array)), self.sizes)

    def _provenance(self, what: str) -> tuple[str, Any]:
        place = "/".join((*self.path[1:], what))
        return place, source_of("/".join(self.path))

    # ---------------------------------------------------------------- variables

    def variable(self, read: Any) -> Any:
        """The value of a variable.

        Raises:
            CaptureError: It is not the model's.
        """
        name = self.live.variables.get(id(read))
        if name is None:
            raise CaptureError(f"it reads the variable {read.path!r}, which is none of the model's")
        if name in self.written:
            return SymbolicTensor(self.written[name], self.sizes)
        return SymbolicTensor(self.lifter.parameter(name), self.sizes)

    def assign(self, variable: Any, value: Any) -> Any:
        """Keep what is written to a variable, for later reads and as an output."""
        name = self.live.variables.get(id(variable))
        if name is None:
            raise CaptureError(f"it writes the variable {variable.path!r}, which is none of the model's")
        with emitting(*self._provenance("assign")):
            value = keras.ops.cast(self.tensor(keras.ops.convert_to_tensor(value)), variable._dtype)
        if tuple(value.shape) != tuple(variable.shape):
            raise CaptureError(f"it writes {value.shape} to the variable {variable.path!r} of {tuple(variable.shape)}")
        self.written[name] = value.value
        return value

    # ---------------------------------------------------------------- operations

    def operation(self, made: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """An operation of `keras.ops` on symbolic tensors."""
        name = type(made).__name__
        if name in CONTROL:
            return CONTROL[name](self, made, *args, **kwargs)
        path = (*(self.path or ["model"]), snake_case(name))
        config = LayerConfig("operation", name, path[-1], self._options(made), 3, path)
        floats = DType(keras.config.floatx())
        layer = Layer(config, Policy(floats, floats))
        if name not in OPERATIONS:
            self.lifter.blockers.setdefault((name, f"{NO_RULE} among the keras.ops"), []).append(
                self.lifter.place(layer)
            )
            return self._poison(made, args, kwargs)
        found = self.lifter.call(layer, map_tree(self.unwrap, args), map_tree(self.unwrap, dict(kwargs)))
        return self._poison(made, args, kwargs) if _is_missing(found) else self.wrap(found)

    def _options(self, made: Any) -> dict[str, Any]:
        """An operation's constructor arguments, from the attributes that keep them."""
        found: dict[str, Any] = {}
        for name in constructor_arguments(type(made)):
            value = getattr(made, name, getattr(made, f"_{name}", None))
            if name == "dtype" and value is not None:
                value = keras.backend.standardize_dtype(value)
            found[name] = map_tree(self._option, value)
        return found

    def _option(self, leaf: Any) -> Any:
        unwrapped = self.unwrap(leaf)
        return unwrapped.value if isinstance(unwrapped, Traced) else unwrapped

    def create(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A tensor of a symbolic size."""
        from kxchange_keras.creating import CREATORS

        with emitting(*self._provenance(name)):
            given: Any = keras.tree.map_structure(dim_of, (args, kwargs))
            return SymbolicTensor(CREATORS[name](*given[0], **given[1]), self.sizes)

    def recurrent(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's loop over the steps of a recurrent layer."""
        from kxchange_keras.looping import recurrent

        return recurrent(self, *args, **kwargs)

    # ---------------------------------------------------------------- layers

    def layer(self, original: Callable[..., Any], called: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A layer: by its rule where it has one and that holds, else by what its `call` does."""
        self.path.append(called.name)
        try:
            given: Any = keras.tree.map_structure(self.tensor, (args, kwargs))
            args, kwargs = given
            known = self.live.known(called, tuple(self.path))
            if known is None:
                return original(called, *args, **kwargs)
            return self._by_rule(known, original, called, args, kwargs)
        except Exception:
            self.failed = self.failed or f"{'/'.join(self.path)} ({type(called).__name__})"
            raise
        finally:
            self.path.pop()

    def _by_rule(
        self, known: Layer, original: Callable[..., Any], called: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        blockers = {key: list(places) for key, places in self.lifter.blockers.items()}
        given = dict(kwargs)
        training = given.pop("training", None)
        if training or (training is None and call_training()):
            given["training"] = True
        found = self.lifter.call(known, map_tree(self.unwrap, args), map_tree(self.unwrap, given))
        if _is_missing(found):
            refused, self.lifter.blockers = self.lifter.blockers, blockers
            try:
                return original(called, *args, **kwargs)
            except Exception:
                self.lifter.blockers, self.failed = refused, ""
                return self._poison(called, args, kwargs)
        if known.rule is not None and known.rule.mask == "take":
            for leaf in keras.tree.flatten([args, kwargs]):
                if isinstance(leaf, SymbolicTensor):
                    leaf._keras_mask = None
        return self.wrap(found)

    def _poison(self, made: Any, args: Any, kwargs: Any) -> Any:
        """What Keras says of the result of something that cannot be lifted, so that the trace goes on.

        Raises:
            CaptureError: It says nothing.
        """
        with self.pausing():
            try:
                spec = made.compute_output_spec(*map_tree(plain_spec, args), **map_tree(plain_spec, dict(kwargs)))
            except Exception:
                raise CaptureError("it cannot be traced beyond this place") from None
        return map_tree(self._placeholder, spec)

    def _placeholder(self, leaf: Any) -> Any:
        if not isinstance(leaf, keras.KerasTensor):
            return leaf
        shape = tuple(symbol(fresh_symbol("unknown")) if size is None else int(size) for size in leaf.shape)
        return SymbolicTensor(placeholder(fresh_symbol("poisoned"), TensorType(DType(leaf.dtype), shape)), self.sizes)


def _is_missing(found: Any) -> bool:
    return any(leaf is MISSING for leaf in leaves(found))


def plain_spec(leaf: Any) -> Any:
    """A symbolic tensor as Keras makes them, with unknown sizes."""
    if isinstance(leaf, SymbolicTensor):
        shape = tuple(None if isinstance(size, Size) else size for size in leaf.shape)
        return keras.KerasTensor(shape, leaf.dtype)
    return leaf


def constructor_arguments(kind: type) -> list[str]:
    """Names of an operation's constructor arguments."""
    return [name for name in inspect.signature(kind.__init__).parameters if name not in ("self", "name")]


def fingerprint(array: Any) -> bytes:
    """Dtype, shape and bytes of an array in a few bytes."""
    head = f"{array.dtype}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).digest()
