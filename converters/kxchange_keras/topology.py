"""How the layers of a model are wired: every use of a layer, inputs and outputs, from each version's own form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kxchange.errors import FormatError
from kxchange_keras.decoding import decode, leaves, map_tree
from kxchange_keras.layer_config import CallSite, LayerConfig, Reference, read_layer

MAX_LAYERS = 100_000


@dataclass(frozen=True, slots=True)
class Topology:
    """The wiring of one model.

    Attributes:
        layers: Every layer by name, in the file's order.
        calls: Every use of a layer, in an order in which arguments come before their users.
        inputs: Names of the input layers, as the model takes them (nested containers allowed).
        outputs: References, nested as the model returns them.
    """

    layers: dict[str, LayerConfig]
    calls: list[CallSite]
    inputs: Any
    outputs: Any


def read_topology(config: LayerConfig) -> Topology:
    """The wiring of a model that is a graph of layers.

    Raises:
        FormatError: It is not one: a name is unknown, or its calls go in circles.
    """
    entries = config.options.get("layers")
    if not isinstance(entries, list) or len(entries) > MAX_LAYERS:
        raise FormatError(f"the Keras model {config.name!r} has no list of layers.")
    if config.class_name == "Sequential":
        return _chain(config, entries)
    layers: dict[str, LayerConfig] = {}
    calls: list[CallSite] = []
    for entry in entries:
        layer = _named(entry, config)
        if layer.name in layers:
            raise FormatError(f"the Keras model {config.name!r} has two layers called {layer.name!r}.")
        layers[layer.name] = layer
        nodes = entry.get("inbound_nodes") or []
        calls += [_call(layer.name, number, node) for number, node in enumerate(nodes)]
    outputs = _references(config.options.get("output_layers"))
    inputs = _references(config.options.get("input_layers"))
    _shift(layers, calls, outputs)
    outputs = map_tree(lambda ref: _moved(ref, _output_shift(layers, calls, ref, config.dialect)), outputs)
    _check(layers, calls, [*leaves(outputs), *leaves(inputs)], config.name)
    return Topology(layers, _ordered(calls, layers, config.name), inputs, outputs)


def _named(entry: Any, config: LayerConfig) -> LayerConfig:
    """A layer of a Functional model: its name there wins over the one among its own options."""
    layer = read_layer(entry, config.dialect, config.path)
    name = entry.get("name")
    return layer.named(name) if isinstance(name, str) and name != layer.name else layer


def _chain(config: LayerConfig, entries: list[Any]) -> Topology:
    """A Sequential as a graph: each layer takes what the one before gives."""
    layers: dict[str, LayerConfig] = {}
    for entry in entries:
        layer = read_layer(entry, config.dialect, config.path)
        if layer.name in layers:
            raise FormatError(f"the Keras model {config.name!r} has two layers called {layer.name!r}.")
        layers[layer.name] = layer
    names = list(layers)
    if not names:
        raise FormatError(f"the Keras model {config.name!r} has no layers.")
    if layers[names[0]].class_name != "InputLayer":
        names.insert(0, _input_name(layers, config))
        layers = {names[0]: _implied_input(names[0], layers[names[1]], config), **layers}
    calls = [CallSite(name, 0, (Reference(before, 0, 0),)) for before, name in zip(names, names[1:], strict=False)]
    return Topology(layers, calls, Reference(names[0], 0, 0), Reference(names[-1], 0, 0))


def _input_name(layers: Mapping[str, LayerConfig], config: LayerConfig) -> str:
    first = next(iter(layers))
    return f"{first}_input" if config.dialect < 3 else "input_layer"


def _implied_input(name: str, first: LayerConfig, config: LayerConfig) -> LayerConfig:
    """The input that a Sequential without an input layer was built for."""
    options = first.options
    shape = options.get("batch_input_shape") or options.get("batch_shape")
    if shape is None and options.get("input_shape") is not None:
        shape = [None, *options["input_shape"]]
    if shape is None:
        shape = config.options.get("build_input_shape") or config.build_shape
    if shape is None and first.is_model:
        inner = read_topology(first)
        shape = inner.layers[leaves(inner.inputs)[0].layer].options.get("batch_shape")
    dtype = options.get("input_dtype") or (options.get("dtype") if first.dialect < 3 else None)
    if first.class_name == "Embedding" and first.dialect < 3:
        dtype = "int32" if dtype is None else dtype
    found = {"batch_shape": shape, "dtype": dtype, "name": name}
    return LayerConfig("layer", "InputLayer", name, found, config.dialect, (*config.path, name))


def _call(layer: str, number: int, node: Any) -> CallSite:
    if isinstance(node, Mapping):
        args, kwargs = decode(node.get("args", [])), decode(node.get("kwargs", {}))
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise FormatError(f"a call of the Keras layer {layer!r} has no arguments.")
        return CallSite(layer, number, tuple(args), kwargs)
    if not isinstance(node, list) or not node:
        raise FormatError(f"a call of the Keras layer {layer!r} is {str(node)[:60]!r}.")
    return _old_call(layer, number, node)


def _old_call(layer: str, number: int, node: list[Any]) -> CallSite:
    """Keras 1 and 2: entries ``[layer, node, tensor, kwargs]``; other arguments ride on the first."""
    entries = [node] if _is_entry(node) else node
    if not all(_is_entry(entry) for entry in entries):
        raise FormatError(f"a call of the Keras layer {layer!r} is {str(node)[:60]!r}.")
    kwargs = entries[0][3] if len(entries[0]) > 3 and isinstance(entries[0][3], dict) else {}
    tensors = [_old_argument(entry) for entry in entries]
    first = tensors[0] if len(tensors) == 1 else tensors
    return CallSite(layer, number, (first,), {name: _old_value(value) for name, value in kwargs.items()})


def _is_entry(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= 3
        and isinstance(value[0], str)
        and all(isinstance(item, int) and not isinstance(item, bool) for item in value[1:2])
    )


def _old_argument(entry: list[Any]) -> Any:
    return decode(entry[2]) if entry[0] == "_CONSTANT_VALUE" else Reference(entry[0], entry[1], int(entry[2]))


def _old_value(value: Any) -> Any:
    """A keyword argument: a tensor is written as a bare ``[layer, node, tensor]``."""
    if _is_entry(value) and len(value) <= 4 and isinstance(value[2], int):
        return _old_argument(value)
    if isinstance(value, list):
        return [_old_value(item) for item in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {name: _old_value(item) for name, item in value.items()}
    return decode(value)


def _references(value: Any) -> Any:
    """Inputs or outputs: ``[layer, node, tensor]`` alone or in containers."""
    if _is_entry(value) and len(value) == 3:
        return Reference(value[0], value[1], int(value[2]))
    if isinstance(value, list):
        return [_references(item) for item in value]
    if isinstance(value, dict):
        return {name: _references(item) for name, item in value.items()}
    raise FormatError(f"a Keras model names {str(value)[:60]!r} as an input or output.")


def _counts(calls: list[CallSite]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for call in calls:
        counts[call.layer] = counts.get(call.layer, 0) + 1
    return counts


def _shift(layers: Mapping[str, LayerConfig], calls: list[CallSite], outputs: Any) -> None:
    """Count the calls of nested models from 0: in old files their own construction is call number 0."""
    counts = _counts(calls)
    highest: dict[str, int] = {}
    for reference in _used(calls):
        highest[reference.layer] = max(highest.get(reference.layer, 0), reference.node)
    beyond = {
        name: top - counts.get(name, 0) + 1
        for name, top in highest.items()
        if name in layers and layers[name].is_model and top >= counts.get(name, 0) > 0
    }

    def move(leaf: Any) -> Any:
        return _moved(leaf, beyond.get(leaf.layer, 0)) if isinstance(leaf, Reference) else leaf

    for call in calls:
        call.args, call.kwargs = map_tree(move, call.args), map_tree(move, call.kwargs)


def _output_shift(layers: Mapping[str, LayerConfig], calls: list[CallSite], ref: Reference, dialect: int) -> int:
    """Model outputs count the construction of a nested Functional model in Keras 3, and mostly before."""
    layer = layers.get(ref.layer)
    if layer is None or not layer.is_model:
        return 0
    if dialect >= 3:
        return 0 if layer.class_name == "Sequential" else 1
    return max(0, ref.node - _counts(calls).get(ref.layer, 0) + 1)


def _moved(reference: Reference, by: int) -> Reference:
    return Reference(reference.layer, reference.node - by, reference.tensor) if by else reference


def _used(calls: list[CallSite]) -> Iterator[Reference]:
    for call in calls:
        yield from (leaf for leaf in leaves([call.args, call.kwargs]) if isinstance(leaf, Reference))


def _check(layers: Mapping[str, LayerConfig], calls: list[CallSite], ends: list[Any], name: str) -> None:
    counts = _counts(calls)
    for reference in [*_used(calls), *ends]:
        layer = layers.get(reference.layer)
        if layer is None:
            raise FormatError(f"the Keras model {name!r} reads a layer {reference.layer!r} that it does not have.")
        limit = 1 if layer.class_name == "InputLayer" else counts.get(reference.layer, 0)
        if not 0 <= reference.node < limit:
            raise FormatError(
                f"the Keras model {name!r} reads call {reference.node} of {reference.layer!r}, which has {limit}."
            )


def _ordered(calls: list[CallSite], layers: Mapping[str, LayerConfig], name: str) -> list[CallSite]:
    """The calls as Keras runs them: the farther from the end, the earlier."""
    sorted_calls = _arguments_first(calls, layers, name)
    depth = {(call.layer, call.node): 0 for call in calls}
    for call in reversed(sorted_calls):
        for reference in _used([call]):
            key = reference.layer, reference.node
            if key in depth:
                depth[key] = max(depth[key], depth[call.layer, call.node] + 1)
    return sorted(sorted_calls, key=lambda call: -depth[call.layer, call.node])


def _arguments_first(calls: list[CallSite], layers: Mapping[str, LayerConfig], name: str) -> list[CallSite]:
    """The calls sorted so that arguments come before their users.

    Raises:
        FormatError: They go in circles.
    """
    by_key = {(call.layer, call.node): call for call in calls}
    done: set[tuple[str, int]] = set()
    open_: set[tuple[str, int]] = set()
    result: list[CallSite] = []
    is_input: Callable[[str], bool] = lambda layer: layers[layer].class_name == "InputLayer"  # noqa: E731
    stack = [(key, False) for key in reversed(by_key)]
    while stack:
        key, ready = stack.pop()
        if ready:
            open_.discard(key)
            done.add(key)
            result.append(by_key[key])
        elif key not in done:
            if key in open_:
                raise FormatError(f"the calls of the Keras model {name!r} go in circles at {key[0]!r}.")
            open_.add(key)
            stack.append((key, True))
            needs = [(ref.layer, ref.node) for ref in _used([by_key[key]]) if not is_input(ref.layer)]
            stack.extend((need, False) for need in reversed(needs) if need not in done)
    return result
