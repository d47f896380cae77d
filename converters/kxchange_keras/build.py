"""From a model to a Functional Keras model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kxchange.dims import DimExpr, evaluate, symbols
from kxchange.errors import BuildError, InputError
from kxchange.graph import Graph
from kxchange.model import Array, Function, Model, Role
from kxchange.types import DType, TensorType
from kxchange.validation.cases import feasible_sizes
from kxchange_keras.hosting import Hosts
from kxchange_keras.layers_out import Held, Plans, computed
from kxchange_keras.layout_out import arranged
from kxchange_keras.lower import lower
from kxchange_keras.lowering import Lowering
from kxchange_keras.names_out import Names, spelled
from kxchange_keras.private import operation_names
from kxchange_keras.sizes_out import Sizes


@dataclass(frozen=True, slots=True)
class Built:
    """A Keras model and where it holds the model's parameters.

    Attributes:
        net: The Keras model.
        function: What it computes.
        inputs: Names of the Keras inputs by those of the model.
        held: What the variables of native layers hold.
        hosted: Variables of their own, by parameter name.
    """

    net: Any
    function: Function
    inputs: dict[str, str]
    held: list[Held]
    hosted: dict[str, Any]

    def run(self, arrays: Sequence[Any]) -> dict[str, Any]:
        """The outputs by name."""
        given = dict(zip(self.inputs.values(), arrays, strict=True))
        tensors = list(given.values()) if len(given) > 1 else next(iter(given.values()))
        found = keras.tree.flatten(self.net(tensors, training=False))
        return dict(zip(self._order(), found, strict=True))

    def _order(self) -> list[str]:
        """Output names in the order in which Keras flattens its outputs."""
        names = self.function.output_names
        tree = named_tree(self.function)
        return [str(leaf) for leaf in keras.tree.flatten(tree)] if not isinstance(tree, str) else list(names)


def build(model: Model, *, function: str | None = None, check: bool = True) -> Any:
    """A Functional `keras.Model` of native layers, with `keras.ops` between them.

    Symbolic sizes stay open. A parameter that no native layer can hold is an embedding of one row.

    Args:
        model: What to build.
        function: Which entry point; by default the main one.
        check: Verify before it is returned: the variables, and the shapes and types that come out at two sizes.

    Raises:
        UnsupportedOpError: Keras lacks ops of the model (loops and branches do not serialize); all of them are listed.
        BuildError: What was built is not the model.
    """
    return build_parts(model, function=function, check=check).net


def build_parts(model: Model, *, function: str | None = None, check: bool = True) -> Built:
    """`build`, with what tells where the parameters are."""
    entry = model.function(function)
    graph, plans = arranged(entry.graph, _canonical(model))
    taken: set[str] = set()
    for _ in range(3):
        built, clash = _attempt(model, entry, graph, plans, taken)
        if built is not None:
            break
        taken |= clash
    else:
        raise BuildError(f"keras needs other names: {sorted(clash)[:5]} are those of operations too.")
    if check:
        check_weights(model, built)
        for sizes in feasible_sizes(model, entry)[:2]:
            _check_run(built, sizes)
    return built


def _canonical(model: Model) -> Callable[[str], str]:
    return lambda name: model.parameters[name].alias_of or name if name in model.parameters else name


def _attempt(
    model: Model, entry: Function, graph: Graph, plans: Mapping[Any, Any], taken: set[str]
) -> tuple[Built | None, set[str]]:
    """The model built with names that are not taken; or the names that collide with those of operations."""
    names, sizes = Names(taken), Sizes()
    inputs = _inputs(entry, names)
    absorbed = {inner for plan in plans.values() for inner in plan.absorbed}
    held = Plans(model.parameters, model.array, names, dict(plans), absorbed)
    hosts = Hosts(model.parameters, model.array, names)
    for tensor, value in zip(inputs.values(), entry.graph.inputs, strict=True):
        sizes.note(tensor, value.shape)
    outputs = Lowering(lower, held, hosts, sizes).run(graph, list(inputs.values()))
    outputs = _with_unread(model, outputs, hosts, sizes)
    own = [tensor for tensor in outputs if any(tensor is given for given in inputs.values())]
    results = [keras.layers.Identity(dtype=t.dtype)(t) if any(t is o for o in own) else t for t in outputs]
    tree = keras.tree.map_structure(lambda name: results[entry.output_names.index(name)], named_tree(entry))
    given = list(inputs.values()) if len(inputs) > 1 else next(iter(inputs.values()))
    if clash := operation_names(results) & (names.taken - taken):
        return None, clash
    net = keras.Model(given, tree)
    labels = {name: tensor._keras_history.operation.name for name, tensor in inputs.items()}
    return Built(net, entry, labels, held.held, hosts.held), set()


def _has_variables(dtype: DType) -> bool:
    """Whether a layer of Keras can hold numbers of this type: floating ones, but not those of 8 bits and fewer."""
    return dtype.is_floating and dtype.bits >= 16


def _with_unread(model: Model, outputs: Sequence[Any], hosts: Hosts, sizes: Sizes) -> list[Any]:
    """The outputs, with the parameters that no function reads behind the first: a layer that leads to none is lost.

    What is added is the sum of no elements of theirs: 0, whatever they hold.
    """
    read = {
        str(node.attrs["name"])
        for function in model.functions.values()
        for node in function.graph.nodes()
        if node.op == "parameter"
    }
    unread = [
        entry
        for name, entry in model.parameters.items()
        if name not in read and not entry.alias_of and entry.role is not Role.STATE and _has_variables(entry.type.dtype)
    ]
    first: Any = outputs[0]
    for entry in unread:
        row: Any = keras.ops.reshape(hosts.parameter(entry.name, entry.type, sizes), (-1,))
        nothing: Any = keras.ops.sum(row[(slice(0, 0),)])
        if str(first.dtype) == "bool":
            first = keras.ops.logical_or(first, keras.ops.not_equal(nothing, 0))
        else:
            first = keras.ops.add(first, keras.ops.cast(nothing, first.dtype))
    return [first, *outputs[1:]]


def _inputs(entry: Function, names: Names) -> dict[str, Any]:
    if not entry.input_types:
        raise BuildError("a Keras model needs an input; this function has none.")
    return {name: _input(names.layer(name), type) for name, type in entry.input_types.items()}


def _input(name: str, type: TensorType) -> Any:
    shape = tuple(dim if isinstance(dim, int) else None for dim in type.shape)
    return keras.Input(batch_shape=shape, dtype=type.dtype.value, name=name)


def named_tree(entry: Function) -> Any:
    """The tree of a function's outputs with their names at its leaves: one name, a list, or what the source had."""
    tree = None if entry.structure is None else _named(entry.structure)
    if tree is not None and sorted(map(str, keras.tree.flatten(tree))) == sorted(entry.output_names):
        return tree
    return entry.output_names[0] if len(entry.output_names) == 1 else list(entry.output_names)


def _named(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        if set(tree) == {"output"} and isinstance(tree["output"], str):
            return tree["output"]
        if set(tree) == {"value"}:
            return ()
        return {key: _named(item) for key, item in tree.items()}
    return [_named(item) for item in tree]


def check_weights(model: Model, built: Built) -> None:
    """Every parameter that the function reads is in a variable of the Keras model, and nothing else is.

    Raises:
        BuildError: One is missing or has other values.
    """
    own = {id(variable) for variable in built.net.weights}
    for held in built.held:
        array = computed(held.transform, model.array)
        if id(held.variable) not in own or not same_bits(array, as_array(held.variable)):
            raise BuildError(f"the variable {held.variable.path!r} does not hold {', '.join(held.sources)}.")
    for name, variable in built.hosted.items():
        array = np.asarray(model.array(name)).reshape(1, -1)
        if id(variable) not in own or (array.size and not same_bits(array, as_array(variable).astype(array.dtype))):
            raise BuildError(f"the variable {variable.path!r} does not hold {name}.")


def same_bits(one: Array, other: Array) -> bool:
    """Whether two arrays are the same, NaN included."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def as_array(variable: Any) -> Array:
    """A variable's values."""
    return np.asarray(keras.ops.convert_to_numpy(variable.value))


def _check_run(built: Built, sizes: dict[str, int]) -> None:
    """Run the model on zeros of these sizes: shapes and types are those that were inferred."""
    types = built.function.input_types
    arrays = [np.zeros([int(evaluate(dim, sizes)) for dim in t.shape], t.dtype.numpy) for t in types.values()]
    try:
        found = built.run(arrays)
    except InputError:
        return
    except Exception as error:
        raise BuildError(f"keras cannot run the built model at {sizes or 'its sizes'}: {str(error)[:600]}") from error
    for output, type in built.function.output_types.items():
        got = found[output]
        known = all(symbols(dim) <= sizes.keys() for dim in type.shape if isinstance(dim, DimExpr))
        wanted = tuple(int(evaluate(dim, sizes)) for dim in type.shape) if known else tuple(got.shape)
        dtype = DType(keras.backend.standardize_dtype(got.dtype))
        if tuple(got.shape) != wanted or not _alike(dtype, type.dtype):
            raise BuildError(f"the built model gives {output!r} as {dtype.value}{tuple(got.shape)}, not {type}.")


def _alike(found: DType, wanted: DType) -> bool:
    """JAX has no 64-bit types outside of a mode of its own."""
    narrow = keras.backend.backend() == "jax" and wanted.bits == 64
    return found is wanted or (narrow and found.value == wanted.value.replace("64", "32"))


def held_weights(model: Model, **options: Any) -> dict[str, Array]:
    """The parameters as a built object holds them, under the model's names.

    A parameter that only other functions read, and the state of a random generator, have no place in the Functional
    model of this one and are given as they are.
    """
    built = build_parts(model, check=False, **options)
    check_weights(model, built)
    return {name: np.asarray(model.array(name)) for name in model.parameters}


__all__ = ["Built", "build", "build_parts", "held_weights", "spelled"]
