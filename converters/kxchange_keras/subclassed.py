"""Live Keras models whose wiring is code: their calls are lifted as they happen, on symbolic tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kxchange.constraints import Constraint
from kxchange.dims import evaluate, symbols
from kxchange.errors import Blocker, CaptureError, DimError, KxchangeError, TypeInferenceError, UnsupportedOpError
from kxchange.fresh import numbering
from kxchange.graph import Graph, Node, Value, placeholder
from kxchange.model import Function, Model
from kxchange.types import DType, TensorType
from kxchange_keras import looping  # noqa: F401 - fills the table of control flow
from kxchange_keras.decoding import leaves
from kxchange_keras.examples_in import Examples, plan_shapes
from kxchange_keras.layer_tree import Layer
from kxchange_keras.live_layers import LiveLayers
from kxchange_keras.private import flat_layers
from kxchange_keras.redirecting import redirected
from kxchange_keras.sources_in import failing_line
from kxchange_keras.symbolic import Sizes, SymbolicTensor
from kxchange_keras.tracing import MIN_BYTES, LiveLifter, Tracer, fingerprint

ADVICE = "Rewrite these places with keras.ops and layers of Keras, or capture with the backend that Keras runs on."


@dataclass(slots=True)
class Trace:
    """What one trace gave."""

    function: Function
    constraints: list[Constraint]


def capture_code(source: Any, examples: Examples, dynamic: Any, provenance: Mapping[str, Any]) -> Model:
    """Lift a built model or layer that is code.

    It is traced twice: what differs between the two was drawn at random, or depends on what was called before.

    Args:
        source: The model.
        examples: Its example inputs.
        dynamic: Dims by input name.
        provenance: What it is.

    Raises:
        CaptureError: It cannot be traced; the message says where.
        UnsupportedOpError: Layers and operations that cannot be taken, all of them.
    """
    shapes, known = plan_shapes(examples, dynamic)
    wanted = run_example(source, examples)
    live = LiveLayers(source)
    first, second = (_trace(source, live, examples, shapes, Sizes(known)) for _ in range(2))
    if place := first_difference(first.function.graph, second.function.graph):
        raise CaptureError(
            f"keras cannot trace {type(source).__qualname__}: {place} is not the same when it is called again. It "
            "draws random numbers, or keeps state outside of variables."
        )
    _check(first.function, wanted, known)
    kept = [constraint for constraint in first.constraints if constraint.symbols <= set(first.function.dims)]
    return Model({"main": first.function}, list(live.parameters.values()), constraints=kept, provenance=provenance)


def run_example(source: Any, examples: Examples) -> list[Any]:
    """The outputs of the model itself, flat; this also makes variables that only a call makes.

    Raises:
        CaptureError: The model cannot be called so.
    """
    args, kwargs = examples.filled(keras.ops.convert_to_tensor)
    if "training" in inspect.signature(source.call).parameters:
        kwargs.setdefault("training", False)
    try:
        return leaves(source(*args, **kwargs))
    except Exception as error:
        raise CaptureError(
            f"keras cannot call {type(source).__qualname__} on the example inputs: {str(error)[:400]}"
        ) from error


def _trace(source: Any, live: LiveLayers, examples: Examples, shapes: Mapping[str, Any], sizes: Sizes) -> Trace:
    lifter = LiveLifter(live, live.parameters)
    prints = {fingerprint(p.array): p.name for p in live.parameters.values() if p.array.nbytes >= MIN_BYTES}
    tracer = Tracer(live, lifter, sizes, {key: name for key, name in prints.items() if not _is_plain(live, name)})
    inputs = {
        name: placeholder(name, TensorType(DType.of(array.dtype), shapes[name]))
        for name, array in examples.arrays.items()
    }
    with numbering(sorted(sizes.examples)), _as_before(source), keras.StatelessScope(collect_losses=True):
        args, kwargs = examples.packed({name: SymbolicTensor(value, sizes) for name, value in inputs.items()})
        try:
            with redirected(tracer):
                outputs = source(*args, **kwargs)
                outputs = keras.tree.map_structure(tracer.tensor, outputs)
        except Exception as error:
            _fail(source, tracer, error)
    if blockers := lifter.collected():
        raise UnsupportedOpError("keras", blockers, ADVICE)
    return Trace(_function(list(inputs.values()), outputs, tracer), sizes.taken)


def _is_plain(live: LiveLayers, name: str) -> bool:
    """Whether an array is all one number, as fresh biases are: equal constants say nothing then."""
    array = live.parameters[name].array
    return bool(np.all(array == array.reshape(-1)[0]))


def _fail(source: Any, tracer: Tracer, error: Exception) -> None:
    """Turn what went wrong while the user's code ran into one error that names the layer and the line.

    Raises:
        UnsupportedOpError: always, or
        CaptureError: where nothing but the code itself is at fault.
    """
    layer = tracer.failed or type(source).__qualname__
    line = failing_line(error.__traceback__)
    deliberate = isinstance(error, CaptureError | TypeInferenceError | DimError)
    reason = str(error) if deliberate else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if blockers := tracer.lifter.collected():
        here = Blocker("call", reason, (f"{layer} at {line}",))
        raise UnsupportedOpError("keras", [*blockers, here], ADVICE) from error
    if isinstance(error, KxchangeError) and not deliberate:
        raise error
    hint = (
        ""
        if deliberate
        else (
            " While a model is captured its tensors are symbolic: only keras.ops and layers take them, not functions "
            "of TensorFlow, PyTorch, JAX or NumPy."
        )
    )
    raise CaptureError(
        f"keras cannot trace {layer}{f' at {line}' if line else ''}: {reason.rstrip('.')}.{hint}"
    ) from error


class _as_before(ExitStack):  # noqa: N801 - reads as a verb
    """Context in which layers may set attributes: what they were before comes back."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.layers = flat_layers(source)

    def __enter__(self) -> Any:
        for layer in self.layers:
            self.callback(_restore, layer, dict(vars(layer)))
        return super().__enter__()


def _restore(layer: Any, before: dict[str, Any]) -> None:
    vars(layer).clear()
    vars(layer).update(before)


def named_leaves(outputs: Any, is_tensor: Callable[[Any], bool]) -> tuple[list[str], list[Any], Any]:
    """Names of the tensors in the output tree, the tensors, and the tree where it is more than a list of tensors."""
    names: list[str] = []
    tensors: list[Any] = []

    def walk(item: Any, path: tuple[str, ...]) -> Any:
        if isinstance(item, Mapping):
            return {str(key): walk(inner, (*path, str(key))) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [walk(inner, (*path, str(place))) for place, inner in enumerate(item)]
        if not is_tensor(item):
            return {"value": item if isinstance(item, bool | int | float | str | None) else str(item)}
        names.append(".".join(path) if len(path) > 1 or not path or not path[0].isdigit() else f"output_{path[0]}")
        names[-1] = names[-1] or "output_0"
        tensors.append(item)
        return {"output": names[-1]}

    structure = walk(outputs, ())
    plain = isinstance(structure, list) and all("output" in leaf for leaf in structure if isinstance(leaf, dict))
    single = isinstance(structure, dict) and set(structure) == {"output"} and isinstance(structure["output"], str)
    tree = None if single or (plain and all(isinstance(leaf, dict) for leaf in structure)) else structure
    return names, tensors, tree


def _function(inputs: list[Value], outputs: Any, tracer: Tracer) -> Function:
    names, tensors, tree = named_leaves(outputs, lambda item: isinstance(item, SymbolicTensor))
    values = [tensor.value for tensor in tensors]
    updates = {f"{name}.next": name for name in tracer.written}
    states = {name: before for name, (before, _) in tracer.lifter.state_outputs.items()}
    values += [*tracer.written.values(), *(value for _, value in tracer.lifter.state_outputs.values())]
    places = (*inputs, *tracer.lifter.state_inputs.values())
    return Function(Graph(places, tuple(values)), (*names, *updates, *states), {**updates, **states}, tree)


def _check(function: Function, wanted: list[Any], sizes: Mapping[str, int]) -> None:
    """Compare the types of outputs with what the model itself gave on the example.

    Raises:
        CaptureError: They differ, which is a fault of kxchange.
    """
    tensors = [leaf for leaf in wanted if hasattr(leaf, "shape")]
    for name, type, own in zip(function.output_names, function.output_types.values(), tensors, strict=False):
        dtype, shape = keras.backend.standardize_dtype(own.dtype), tuple(own.shape)
        if not set().union(*(symbols(dim) for dim in type.shape)) <= set(sizes):
            continue
        ours = tuple(evaluate(dim, sizes) for dim in type.shape)
        if type.dtype.value != dtype or ours != shape:
            raise CaptureError(
                f"keras gives {dtype}{list(shape)} for output {name!r}, and kxchange's rules say {type}. This is a "
                "fault in kxchange; please report it."
            )


def first_difference(first: Graph, second: Graph) -> str:
    """Where two graphs differ; empty where they do not."""
    order = first.nodes(), second.nodes()
    number: tuple[dict[Node, int], dict[Node, int]] = {}, {}
    for one, other in zip(*order, strict=False):
        number[0][one], number[1][other] = len(number[0]), len(number[1])
        if (one.op, one.types) != (other.op, other.types) or not _alike(one.attrs, other.attrs):
            return one.where
        wired = [
            [None if value is None else (places.get(value.node), value.index) for value in node.inputs]
            for node, places in zip((one, other), number, strict=True)
        ]
        if wired[0] != wired[1]:
            return one.where
    return "" if len(order[0]) == len(order[1]) else "its number of operations"


def _alike(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return first.keys() == second.keys() and all(_same(item, second[name]) for name, item in first.items())


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, Graph):
        return isinstance(second, Graph) and not first_difference(first, second)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_same, first, second))
    return type(first) is type(second) and (first == second or (first != first and second != second))


__all__ = ["Layer", "capture_code", "first_difference", "named_leaves", "run_example"]
