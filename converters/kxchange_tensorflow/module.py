"""What `model.to("tensorflow")` gives: a `tf.Module` with the model's variables and functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from kxchange.binding import bind_dims, check_constraints
from kxchange.constraints import Constraint
from kxchange.errors import InputError
from kxchange.graph import Graph
from kxchange.model import Function, Model, Role
from kxchange.table import Table
from kxchange_tensorflow.dtypes import tf_dtype
from kxchange_tensorflow.lowering import Lowering
from kxchange_tensorflow.sizes_out import bind_sizes


class Entry:
    """One function of a model as a `tf.function` with symbolic sizes.

    Attributes:
        function: The model's function.
        compiled: The `tf.function`, of one tensor per input, giving a dict by output name.
    """

    def __init__(
        self,
        function: Function,
        graph: Graph,
        rules: Table,
        parameters: Mapping[str, Any],
        limits: tuple[Constraint, ...],
    ) -> None:
        self.function = function
        self._graph = graph
        self._rules = rules
        self._parameters = parameters
        self._limits = limits
        self._expected = [(name, type.shape) for name, type in function.input_types.items()]
        self.compiled = tf.function(self.outputs, input_signature=self.specs(), autograph=False)

    def specs(self) -> list[tf.TensorSpec]:
        """One specification per input; symbolic sizes are open."""
        return [
            tf.TensorSpec(
                [dim if isinstance(dim, int) else None for dim in type.shape], tf_dtype(type.dtype), identifier(name)
            )
            for name, type in self.function.input_types.items()
        ]

    def outputs(self, *inputs: Any) -> dict[str, Any]:
        """The outputs by name; what is traced."""
        sizes = bind_sizes(self._expected, inputs)
        results = Lowering(self._rules, sizes, self._parameters).run(self._graph, inputs)
        return dict(zip(self.function.output_names, map(tf.identity, results), strict=True))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs in the source's tree; without one, the single output, or a dict by name."""
        inputs = self._bound(args, kwargs)
        shapes = [tuple(value.shape.as_list()) for value in inputs if value.shape.rank is not None]
        if len(shapes) == len(inputs) and all(size is not None for shape in shapes for size in shape):
            check_constraints(self._limits, bind_dims(self._expected, shapes), "the function")
        named = self.compiled(*inputs)
        if self.function.structure is not None:
            return _rebuild(self.function.structure, named)
        return next(iter(named.values())) if len(named) == 1 else named

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        names = list(self.function.input_names)
        given = dict(zip(names, args, strict=False))
        wrong = [name for name in kwargs if name not in names or name in given]
        given |= kwargs
        missing = [name for name in names if name not in given]
        if wrong or missing or len(args) > len(names):
            raise InputError(f"the function takes the inputs {names}; missing: {missing}, wrong: {wrong}.")
        types = self.function.input_types
        return [tf.convert_to_tensor(given[name], tf_dtype(types[name].dtype)) for name in names]


def _rebuild(tree: Any, outputs: Mapping[str, Any]) -> Any:
    if isinstance(tree, Mapping):
        if len(tree) == 1:
            (key, value), *_ = tree.items()
            if key == "output" and isinstance(value, str):
                return outputs[value]
            if key == "value":
                return value
        return {key: _rebuild(item, outputs) for key, item in tree.items()}
    return tuple(_rebuild(item, outputs) for item in tree)


class KxModule(tf.Module):
    """A model as TensorFlow users write them.

    Attributes:
        parameters: Variables by the model's names; tied names share one.
        functions: Every function of the model by name. Calling the module calls the main one.
    """

    def __init__(self, parameters: dict[str, tf.Variable], functions: dict[str, Entry], main: str) -> None:
        super().__init__(name="kx_module")
        # Variables stand in a list for TensorFlow to track: names of a model are data, not attributes.
        self._order = list({id(v): v for v in parameters.values()}.values())
        self._names = tuple(parameters)
        self._places = tuple(next(i for i, v in enumerate(self._order) if v is parameters[n]) for n in self._names)
        self._entries: Callable[[], dict[str, Entry]] = lambda: functions
        self._main = main

    @property
    def parameters(self) -> dict[str, tf.Variable]:
        """Variables by the model's names."""
        return {name: self._order[place] for name, place in zip(self._names, self._places, strict=True)}

    @property
    def functions(self) -> dict[str, Entry]:
        """Every function of the model by name."""
        return self._entries()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the main function."""
        return self.functions[self._main](*args, **kwargs)


def make_variables(model: Model) -> dict[str, tf.Variable]:
    """A variable for every parameter; tied names share one."""
    found: dict[str, tf.Variable] = {}
    for name, entry in model.parameters.items():
        if entry.alias_of is not None:
            continue
        trainable = entry.trainable and entry.role is Role.PARAMETER and entry.type.dtype.is_floating
        found[name] = tf.Variable(
            tf.constant(entry.array),
            trainable=trainable,
            name=scope_name(name),
            dtype=tf_dtype(entry.type.dtype),  # pyright: ignore[reportArgumentType]
        )
    return {name: found[entry.alias_of or name] for name, entry in model.parameters.items()}


def scope_name(name: str) -> str:
    """A name that TensorFlow takes for a variable."""
    cleaned = re.sub(r"[^A-Za-z0-9_./-]", "_", name)[:200]
    return cleaned if re.match(r"[A-Za-z0-9.]", cleaned) else f"v{cleaned}"


def identifier(name: str) -> str:
    """A name that TensorFlow takes for an argument of a signature."""
    cleaned = re.sub(r"\W", "_", name, flags=re.ASCII)[:200]
    return cleaned if re.match(r"[A-Za-z]", cleaned) else f"x{cleaned}"
