"""Keras, while a model that is code is traced: calls on symbolic tensors go to the tracer instead of a backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol

import keras

from kxchange.errors import CaptureError
from kxchange_keras.private import (
    BACKEND_FAMILIES,
    RECURRENT,
    backend_functions,
    node_makers,
    shape_readers,
    symbol_tests,
    tensor_class,
    variable_classes,
)
from kxchange_keras.symbolic import Size, SymbolicTensor

_LOCK = threading.RLock()
_ABSENT = object()
SAFE = frozenset({"name_scope", "device_scope", "compute_output_spec", "remat", "cudnn_ok"})
"""Functions of a backend that may see what they like."""
CREATION = frozenset({"zeros", "ones", "empty", "full", "eye", "identity", "tri", "arange"})
"""Functions that make a tensor of a size."""


class Tracing(Protocol):
    """What calls on symbolic tensors are handed to."""

    paused: bool

    def operation(self, made: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An operation of `keras.ops`."""
        ...

    def layer(self, original: Callable[..., Any], called: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A layer; `original` is Keras's own way to call it."""
        ...

    def variable(self, read: Any) -> Any:
        """The value of a variable; None for one that is not the model's."""
        ...

    def assign(self, variable: Any, value: Any) -> Any:
        """A variable is written."""
        ...

    def tensor(self, array: Any) -> Any:
        """An array of the backend as a symbolic constant; anything else as it is."""
        ...

    def create(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A tensor of a symbolic size."""
        ...

    def recurrent(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's loop over the steps of a recurrent layer."""
        ...


def is_symbolic(leaf: Any) -> bool:
    """Whether an argument belongs to the trace."""
    return isinstance(leaf, keras.KerasTensor | Size | keras.Variable)


def touches(args: Any = None, kwargs: Any = None) -> bool:
    """Whether any argument, however nested, belongs to the trace."""
    for item in (*(args or ()), *(kwargs or {}).values()):
        if is_symbolic(item):
            return True
        if isinstance(item, list | tuple | dict) and any(map(is_symbolic, keras.tree.flatten(item))):
            return True
        if isinstance(item, slice) and touches((item.start, item.stop, item.step)):
            return True
    return False


@contextmanager
def redirected(tracing: Tracing) -> Generator[None]:
    """Send every layer, operation, backend function and variable to `tracing`; all is as before afterwards.

    One trace runs at a time.
    """
    with _LOCK:
        undo: list[tuple[Any, str, Any]] = []

        def put(holder: Any, name: str, item: Any) -> None:
            undo.append((holder, name, vars(holder).get(name, _ABSENT)))
            setattr(holder, name, item)

        try:
            _put_all(tracing, put)
            yield
        finally:
            for holder, name, item in reversed(undo):
                if item is _ABSENT:
                    delattr(holder, name)
                else:
                    setattr(holder, name, item)


def _put_all(tracing: Tracing, put: Callable[[Any, str, Any], None]) -> None:
    for module, name in list(symbol_tests()):
        put(module, name, _symbol_test(tracing, getattr(module, name)))
    for module, name in list(node_makers()):
        put(module, name, _unrecorded(tracing, getattr(module, name)))
    for module, name, family in list(backend_functions()):
        if name not in SAFE:
            put(module, name, _redirected(tracing, getattr(module, name), name, family))
    for kind in variable_classes():
        if "value" in vars(kind):
            put(kind, "value", _read(tracing, vars(kind)["value"]))
        if "assign" in vars(kind):
            put(kind, "assign", _written(tracing, vars(kind)["assign"]))
    for module in shape_readers():
        put(module, "standardize_shape", _shape(module.standardize_shape))
    kind = tensor_class()
    put(kind, "__getitem__", _picked(tracing, kind.__getitem__))
    _put_calls(tracing, put)


def _shape(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keras's check of a shape, which would turn a symbolic size into a number."""

    def standardize(shape: Any) -> Any:
        found = isinstance(shape, list | tuple) and any(isinstance(size, Size) for size in shape)
        return tuple(shape) if found else original(shape)

    return standardize


def _picked(tracing: Tracing, original: Callable[..., Any]) -> Callable[..., Any]:
    """Indexing of an array of the backend, which gives a tensor of the trace where the index is one."""

    def pick(self: Any, key: Any) -> Any:
        given = key if isinstance(key, tuple) else (key,)
        return original(self, key) if tracing.paused or not touches(given) else tracing.tensor(self)[key]

    return pick


def _put_calls(tracing: Tracing, put: Callable[[Any, str, Any], None]) -> None:
    layer, operation = keras.Layer, keras.Operation
    layer_call, operation_call, symbolic = (
        vars(layer)["__call__"],
        vars(operation)["__call__"],
        vars(operation)["symbolic_call"],
    )

    def call_layer(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tracing.paused:
            return layer_call(self, *args, **kwargs)
        return tracing.layer(layer_call, self, args, kwargs)

    def call_operation(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tracing.paused or not (isinstance(self, keras.Layer) or touches(args, kwargs)):
            return operation_call(self, *args, **kwargs)
        if isinstance(self, keras.Layer):
            return self.call(*args, **kwargs)
        return tracing.operation(self, args, kwargs)

    def call_symbolic(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tracing.paused:
            return symbolic(self, *args, **kwargs)
        return tracing.operation(self, args, kwargs)

    put(layer, "__call__", call_layer)
    put(operation, "__call__", call_operation)
    put(operation, "symbolic_call", call_symbolic)


def _symbol_test(tracing: Tracing, original: Callable[..., bool]) -> Callable[..., bool]:
    return lambda args=None, kwargs=None: (original if tracing.paused else touches)(args, kwargs)


def _unrecorded(tracing: Tracing, original: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: original(*args, **kwargs) if tracing.paused else None


def _read(tracing: Tracing, original: property) -> property:
    def value(self: Any) -> Any:
        found = None if tracing.paused else tracing.variable(self)
        return original.__get__(self) if found is None else self._maybe_autocast(found)

    return property(value)


def _written(tracing: Tracing, original: Any) -> Callable[..., Any]:
    def assign(self: Any, value: Any) -> Any:
        return original(self, value) if tracing.paused else tracing.assign(self, value)

    return assign


def _redirected(tracing: Tracing, original: Any, name: str, family: str) -> Callable[..., Any]:
    """A function of a backend that hands symbolic arguments to its public twin."""
    inside = threading.local()

    def call(*args: Any, **kwargs: Any) -> Any:
        if tracing.paused:
            return original(*args, **kwargs)
        if family == "random":
            raise CaptureError(f"it draws random numbers (keras.random.{name}), which no file of a model holds")
        if not touches(args, kwargs):
            return original(*args, **kwargs)
        if name == "is_tensor":  # a dict of tensors is none
            return isinstance(args[0], SymbolicTensor) or original(*args, **kwargs)
        if name == "shape":
            return args[0].shape
        if name in CREATION and not any(
            isinstance(leaf, SymbolicTensor) for leaf in keras.tree.flatten([args, kwargs])
        ):
            return tracing.create(name, args, kwargs)
        if name in RECURRENT:
            return tracing.recurrent(*args, **kwargs) if name == "rnn" else _unable()
        twin = getattr(getattr(keras.ops, BACKEND_FAMILIES.get(family) or "ops", keras.ops), name, None)
        twin = getattr(keras.ops, name, None) if twin is None else twin
        if twin is None or getattr(inside, "busy", False):
            raise CaptureError(f"it calls Keras's backend function {name!r} on tensors of the model")
        inside.busy = True
        try:
            given: Any = keras.tree.map_structure(tracing.tensor, (args, kwargs))
            return twin(*given[0], **given[1])
        finally:
            inside.busy = False

    return call


def _unable() -> Any:
    """What Keras's backends raise where they have no fused kernel: the layer goes on step by step."""
    raise NotImplementedError
