"""What can be captured, brought to one form: a function of a tree of named parameters and of inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from kxchange.constraints import Constraint
from kxchange.errors import CaptureError
from kxchange.model import Role
from kxchange.types import DType
from kxchange_jax.inputs_in import is_array
from kxchange_jax.jax_model import Apply, JaxModel
from kxchange_jax.parameters_in import ParameterTable
from kxchange_jax.private import is_key, key_text
from kxchange_jax.trees import leaves_of


@dataclass
class Subject:
    """One object to capture.

    Attributes:
        function: ``(params, *args, **kwargs) -> (outputs, written)``; `written` has new values of parameters by name.
        signature: What names the arguments.
        params: The tree of parameters.
        names: Name of each leaf of `params`, in JAX's order.
        table: The model's records.
        label: The object, for provenance.
        root: Class name that Linen puts in front of every scope.
        batched: Whether axis 0 of the inputs is a batch by default.
        wide_function: What to call on parameters and inputs in float64, where it is not `function`.
        constraints: What is known of the sizes.
        args: The example inputs, without the parameters.
        home: Whose layout and names the parameters have, where it is known not to be JAX's.
    """

    function: Callable[..., tuple[Any, Mapping[str, Any]]]
    signature: Callable[..., Any]
    params: Any
    names: list[str]
    table: ParameterTable
    label: str
    root: str = ""
    batched: bool = True
    wide_function: Callable[..., tuple[Any, Mapping[str, Any]]] | None = None
    constraints: tuple[Constraint, ...] = ()
    args: tuple[Any, ...] = ()
    home: str = ""


def subject_of(source: Any, args: Sequence[Any], options: dict[str, Any]) -> Subject:
    """Bring a source to the one form; the options that are its kind's own are taken out of `options`."""
    kinds = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(source).__mro__}
    if isinstance(source, JaxModel):
        return _jax_model(source, args)
    if "flax.linen.module.Module" in kinds:
        return _linen(source, args, options)
    if "flax.nnx.module.Module" in kinds:
        return _nnx(source, args, options)
    if "equinox._module._module.Module" in kinds or "equinox._module.Module" in kinds:
        return _equinox(source, args, options)
    if callable(source):
        return _function(source, args)
    raise CaptureError(f"jax cannot capture a {type(source).__name__}: pass a function, or a Flax or Equinox module.")


def _describe(source: Any) -> str:
    kind = source if hasattr(source, "__qualname__") else type(source)
    return f"{kind.__module__}.{kind.__qualname__}"


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Dotted path and value of every leaf, in JAX's order."""
    return [(".".join(map(key_text, path)), leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]]


def _table(tree: Any, leaves: Sequence[tuple[str, Any]], role: Callable[[str, Any], Role]) -> ParameterTable:
    """The records in the source's own order: JAX sorts the keys of dicts, the source may not (trap X14)."""
    known = dict(leaves)
    if len(known) < len(leaves):
        raise CaptureError("two parameters have one path once its parts are joined by dots. Rename one of the keys.")
    own = [".".join(path) for path, _ in leaves_of(tree)] if isinstance(tree, Mapping | list | tuple) else []
    order = own if set(own) == known.keys() else list(known)
    return ParameterTable((name, known[name], role(name, known[name])) for name in order)


def _by_type(_name: str, leaf: Any) -> Role:
    """Floating and complex arrays are parameters, others are not."""
    dtype = DType.of(leaf.dtype)
    return Role.PARAMETER if dtype.is_floating or dtype.is_complex else Role.BUFFER


def _function(source: Callable[..., Any], args: Sequence[Any]) -> Subject:
    """A function; its parameters are the first argument, where that is a tree and not an array."""
    if not args or is_array(args[0]) or isinstance(args[0], bool | int | float | complex | str | None):
        return Subject(
            lambda _params, *inputs, **named: (source(*inputs, **named), {}),
            source,
            {},
            [],
            ParameterTable(),
            _describe(source),
            args=tuple(args),
        )
    params = args[0]
    leaves = _named_leaves(params)
    if strange := [name for name, leaf in leaves if not is_array(leaf)]:
        raise CaptureError(
            f"params has something that is no array at {strange[0]!r}. Close over configuration instead of passing it."
        )
    if keys := [name for name, leaf in leaves if is_key(leaf.dtype)]:
        raise CaptureError(f"params has a random key at {keys[0]!r}. Pass it as an input: an argument of its own.")
    return Subject(
        lambda tree, *inputs, **named: (source(tree, *inputs, **named), {}),
        _Tail(source),
        params,
        [name for name, _ in leaves],
        _table(params, leaves, _by_type),
        _describe(source),
        args=tuple(args[1:]),
    )


class _Tail:
    """A function's signature without its first parameter."""

    def __init__(self, function: Callable[..., Any]) -> None:
        import inspect

        signature = inspect.signature(function)
        self.__signature__ = signature.replace(parameters=_rest(list(signature.parameters.values())))
        self.__qualname__ = getattr(function, "__qualname__", type(function).__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def _rest(parameters: list[Any]) -> list[Any]:
    first = parameters[0] if parameters else None
    return parameters if first is not None and first.kind is first.VAR_POSITIONAL else parameters[1:]


def _jax_model(source: JaxModel, args: Sequence[Any]) -> Subject:
    tree = {"params": source.params, "buffers": source.buffers}
    by_path = {place.path: place.entry for place in source.apply.places.values() if place.entry.alias_of is None}
    leaves = [(by_path[path[1:]].name, leaf) for path, leaf in _paths(tree)]
    arrays = dict(leaves)
    table = ParameterTable()
    for name, place in source.apply.places.items():
        if place.entry.alias_of is None:
            entry = table.add(name, arrays[name], place.entry.role)
            table.adopt(entry.replace(trainable=place.entry.trainable))
        else:
            table.adopt(place.entry)

    def run(apply: Apply) -> Callable[..., tuple[Any, dict[str, Any]]]:
        return lambda params, *inputs, **named: (
            apply(_merged(params["params"], params["buffers"]), *inputs, **named),
            {},
        )

    return Subject(
        run(source.apply),
        _Tail(source.apply),
        tree,
        [name for name, _ in leaves],
        table,
        _describe(source),
        wide_function=run(source.apply.in_float64()),
        constraints=source.apply.constraints,
        args=tuple(args),
        home=source.home,
    )


def _paths(tree: Any) -> list[tuple[tuple[str, ...], Any]]:
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(tuple(map(key_text, path)), leaf) for path, leaf in flat]


def _merged(first: Any, second: Any) -> Any:
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return first
    return {
        **first,
        **{key: _merged(first[key], item) if key in first else item for key, item in second.items()},
    }


def _linen(source: Any, args: Sequence[Any], options: dict[str, Any]) -> Subject:
    """A Linen module and its variables: ``capture(module, variables, *inputs)``."""
    if not args or not isinstance(args[0], Mapping):
        raise CaptureError("a Linen module needs its variables: capture(module, variables, *example_inputs).")
    variables, method = args[0], options.pop("method", None)
    mutable = options.pop("mutable", False)
    fixed = {name: options.pop(name) for name in ("rngs", "capture_intermediates") if name in options}
    bound = getattr(source, method) if isinstance(method, str) else source.__call__ if method is None else method

    def function(tree: Any, *inputs: Any, **named: Any) -> tuple[Any, dict[str, Any]]:
        result = source.apply(tree, *inputs, method=method, mutable=mutable, **fixed, **named)
        if mutable is False:
            return result, {}
        return result[0], dict(_named_leaves(result[1]))

    def role(name: str, leaf: Any) -> Role:
        collection = name.partition(".")[0]
        return {"params": _by_type(name, leaf), "cache": Role.STATE}.get(collection, Role.BUFFER)

    leaves = _named_leaves(variables)
    return Subject(
        function,
        bound,
        variables,
        [name for name, _ in leaves],
        _table(variables, leaves, role),
        _describe(source),
        root=type(source).__name__,
        args=tuple(args[1:]),
    )


def _nnx(source: Any, args: Sequence[Any], options: dict[str, Any]) -> Subject:
    """An NNX module; what a call changes in it (caches, statistics) is written."""
    from flax import nnx

    training, method = options.pop("training", False), options.pop("method", "__call__")
    graph, state, rest = nnx.split(source, nnx.Not(nnx.RngState), ...)
    kinds = {".".join(map(str, path)): type(variable) for path, variable in nnx.to_flat_state(state)}
    leaves = [(name.removesuffix(".value"), leaf) for name, leaf in _named_leaves(state)]
    names = [name for name, _ in leaves]

    def role(name: str, leaf: Any) -> Role:
        kind = kinds.get(name, nnx.Variable)
        if issubclass(kind, nnx.Param):
            return _by_type(name, leaf)
        return Role.STATE if issubclass(kind, nnx.Cache) else Role.BUFFER

    def function(tree: Any, *inputs: Any, **named: Any) -> tuple[Any, dict[str, Any]]:
        # Variables that are made here may be written here: those of `rest` belong to whoever made them.
        module = nnx.merge(graph, tree, jax.tree_util.tree_map(lambda leaf: leaf, rest))
        if not training:
            module.eval()
        outputs = getattr(module, method)(*inputs, **named)
        _, after, _ = nnx.split(module, nnx.Not(nnx.RngState), ...)
        written = [(name.removesuffix(".value"), leaf) for name, leaf in _named_leaves(after)]
        return outputs, dict(written)

    built = "kxchange_jax.flax_module.FlaxModel" in {f"{c.__module__}.{c.__qualname__}" for c in type(source).__mro__}
    bound = _Tail(source.apply) if built and method == "__call__" else getattr(source, method)
    return Subject(function, bound, state, names, _table(state, leaves, role), _describe(source), args=tuple(args))


def _equinox(source: Any, args: Sequence[Any], options: dict[str, Any]) -> Subject:
    """An Equinox module: written for one example, so that its axes are no batch unless it is mapped over one."""
    import equinox as eqx

    training = options.pop("training", False)
    module = source if training else eqx.nn.inference_mode(source)
    params, static = eqx.partition(module, lambda leaf: eqx.is_array(leaf) and not is_key(leaf.dtype))
    given = [place for place, arg in enumerate(args) if isinstance(arg, eqx.nn.State)]
    if len(given) > 1:
        raise CaptureError("an Equinox module is captured with one eqx.nn.State. Merge them, or capture a function.")
    place, state = (given[0], args[given[0]]) if given else (-1, {})

    def function(tree: Any, *inputs: Any, **named: Any) -> tuple[Any, dict[str, Any]]:
        arrays, held = tree
        inputs = (*inputs[:place], held[STATE], *inputs[place + 1 :]) if given else inputs
        outputs = eqx.combine(arrays, static)(*inputs, **named)
        return _apart(outputs, eqx.nn.State) if given else (outputs, {})

    leaves = [(name.partition(".")[2], leaf) for name, leaf in _named_leaves((params, {STATE: state}))]
    own = {name for name, _ in _named_leaves(params)}
    return Subject(
        function,
        source.__call__,
        (params, {STATE: state}),
        [name for name, _ in leaves],
        _table(None, leaves, lambda name, leaf: _by_type(name, leaf) if name in own else Role.BUFFER),
        _describe(source),
        batched=False,
        args=tuple(None if index == place else arg for index, arg in enumerate(args)),
    )


STATE = "state"
"""What the names of the arrays of an Equinox state begin with."""


def _apart(outputs: Any, kind: type) -> tuple[Any, dict[str, Any]]:
    """What a call gave with None in the place of the state, and the arrays of that by name."""
    leaves, tree = jax.tree_util.tree_flatten(outputs, is_leaf=lambda leaf: isinstance(leaf, kind))
    written = {
        name: leaf for state in leaves if isinstance(state, kind) for name, leaf in _named_leaves({STATE: state})
    }
    return tree.unflatten([None if isinstance(leaf, kind) else leaf for leaf in leaves]), written
