"""Models from live objects: a `tf.Module`, a `tf.function`, a `ConcreteFunction`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from kxchange.errors import CaptureError
from kxchange.model import Model, Parameter, Role
from kxchange.types import DType
from kxchange_tensorflow.graph_load import Building, Entry, Port
from kxchange_tensorflow.graph_proto import NodeRecord, OtherType, Shape, graph_of
from kxchange_tensorflow.private import captures, module_variables
from kxchange_tensorflow.tflite_load import free_name
from kxchange_tensorflow.wire import Message

Dynamic = Mapping[str, Sequence[Any]]
WRITES = ("AssignVariable", "AssignAdd", "AssignSub", "ResourceApply", "ResourceScatter", "ResourceStridedSliceAssign")
"""How the names of operations begin that write variables."""


def capture(source: Any, *args: Any, dynamic: Dynamic | None = None, **kwargs: Any) -> Model:
    """Lift a live object of TensorFlow.

    Args:
        source: A `tf.Module` (its `__call__`), a `tf.function` or a `ConcreteFunction`.
        args: Example inputs; not needed where the function has an input signature.
        dynamic: Dims by input name; by default axis 0 of every input is symbolic.
        kwargs: Example inputs by name.

    Raises:
        CaptureError: The object cannot be traced.
        UnsupportedOpError: It has operators that cannot be lifted; all of them are listed.
    """
    concrete = _concrete(source, args, kwargs)
    model = lift_concrete(concrete, _variables(source), dynamic=dynamic)
    model.origin = concrete
    return model


def lift_concrete(
    concrete: Any,
    variables: Sequence[tuple[Any, str]] = (),
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    dynamic: Dynamic | None = None,
) -> Model:
    """The model of a concrete function.

    Args:
        concrete: The function.
        variables: Variables in order, each with its name; others go by their names in TensorFlow.
        inputs: Names of the inputs, where TensorFlow's own will not do.
        outputs: Names of the outputs, likewise.
        dynamic: Dims by input name.

    Raises:
        UnsupportedOpError: It has operators that cannot be lifted; all of them are listed.
        CaptureError: It writes a variable and reads it again.
    """
    _refuse_stale_reads(concrete)
    record = graph_of(Message(memoryview(concrete.graph.as_graph_def(add_shapes=False).SerializeToString())))
    captured = _captured(concrete, {id(variable): name for variable, name in variables})
    given = [tensor for tensor in concrete.inputs if tensor.name.split(":")[0] not in captured]
    ports = _renamed(tuple(_port(tensor) for tensor in given), inputs)
    entry = Entry("main", ports, _renamed(_output_names(concrete), outputs))
    nodes = {
        name: NodeRecord(name, "VarHandleOp" if isinstance(held, tf.Variable) else "Variable", (), {})
        for name, (_, held) in captured.items()
    }
    merged = type(record)({**record.nodes, **nodes}, record.functions)
    building = Building(merged, "the function", lambda node: _parameter(*captured[node.name]), dynamic=dynamic or {})
    functions = building.functions([entry])
    building.order([name for _, name in variables], [_parameter(name, v) for v, name in variables])
    return building.model(functions, provenance={"backend": "tensorflow", "tensorflow": tf.__version__})


def writes(concrete: Any) -> list[Any]:
    """The operations of a function, and of the functions in it, that write variables."""
    record = concrete.graph.as_graph_def()
    nodes = [*record.node, *(node for function in record.library.function for node in function.node_def)]
    return [node for node in nodes if node.op.startswith(WRITES)]


def _refuse_stale_reads(concrete: Any) -> None:
    """A graph keeps what a function computes, not the order of its effects: a read after a write would be stale.

    Raises:
        CaptureError: A variable is read behind a write.
    """
    for op in concrete.graph.get_operations():
        behind = [other for other in op.control_inputs if other.type.startswith(WRITES)]
        if op.type == "ReadVariableOp" and any(other.inputs[0] is op.inputs[0] for other in behind):
            raise CaptureError(
                f"tensorflow cannot capture a function that writes the variable of {op.name!r} and reads it again: "
                "return the new value as an output instead."
            )


def _renamed(ports: tuple[Port, ...], names: Sequence[str]) -> tuple[Port, ...]:
    return tuple(replace(port, name=name) for port, name in zip(ports, names, strict=True)) if names else ports


def _concrete(source: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if hasattr(source, "as_graph_def") or hasattr(source, "captured_inputs"):
        return source
    function = source if hasattr(source, "get_concrete_function") else (source if callable(source) else None)
    if function is None:
        raise CaptureError(f"tensorflow cannot capture a {type(source).__name__}: it cannot be called.")
    if not hasattr(function, "get_concrete_function"):
        function = tf.function(function)
    try:
        return function.get_concrete_function(*map(_spec, args), **{name: _spec(v) for name, v in kwargs.items()})
    except Exception as error:
        raise CaptureError(f"tensorflow cannot trace this {type(source).__name__}: {error}") from error


def _spec(value: Any) -> Any:
    """An example input as a specification with axis 0 open."""
    if isinstance(value, tf.TensorSpec) or not (tf.is_tensor(value) or isinstance(value, np.ndarray)):
        return value
    found = tf.convert_to_tensor(value)
    return tf.TensorSpec([None, *found.shape[1:]] if found.shape.rank else [], found.dtype)


def _captured(concrete: Any, names: Mapping[int, str]) -> dict[str, tuple[str, Any]]:
    """Name and variable (or tensor) by the placeholder that stands for it in the graph; two never share a name."""
    handles = {id(variable.handle): variable for variable in concrete.graph.variables}
    found: dict[str, tuple[str, Any]] = {}
    taken = dict.fromkeys(names.values())
    given: dict[int, str] = {}
    for outer, inner in captures(concrete):
        held: Any = handles.get(id(outer), outer)
        label = inner.name.split(":")[0]
        if id(held) not in given:
            own = held.name.split(":")[0] if isinstance(held, tf.Variable) else label
            given[id(held)] = names[id(held)] if id(held) in names else free_name(own, taken)
            taken[given[id(held)]] = None
        found[label] = given[id(held)], held
    return found


def _variables(source: Any) -> list[tuple[Any, str]]:
    if not isinstance(source, tf.Module):
        return []
    return module_variables(source)


def _parameter(name: str, held: Any) -> Parameter:
    array = np.asarray(held)
    trainable = isinstance(held, tf.Variable) and held.trainable and array.dtype.kind in "fV"
    role = Role.PARAMETER if trainable else (Role.BUFFER if isinstance(held, tf.Variable) else Role.CONSTANT)
    return Parameter(name, array, role=role, trainable=trainable)


def _port(tensor: Any) -> Port:
    if tensor.dtype in (tf.string, tf.resource, tf.variant):
        return Port(tensor.name, tensor.name, OtherType(tensor.dtype.name))
    dims = None if tensor.shape.rank is None else tuple(-1 if d is None else d for d in tensor.shape.as_list())
    return Port(tensor.name.split(":")[0], tensor.name, DType(tensor.dtype.name), Shape(dims))


def _output_names(concrete: Any) -> tuple[Port, ...]:
    """One port per output tensor, named by the place in the output tree."""
    outputs = list(concrete.outputs)
    tree = concrete.structured_outputs
    if isinstance(tree, Mapping) and len(tree) == len(outputs) and all(isinstance(key, str) for key in tree):
        names = sorted(tree)
    else:
        names = [f"output_{place}" for place in range(len(outputs))]
    return tuple(Port(n, t.name, DType(t.dtype.name)) for n, t in zip(names, outputs, strict=True))
