"""What `model.to("jax")` gives: a pytree of parameters and pure functions of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kxchange.errors import WeightError
from kxchange.graph import Graph
from kxchange.model import Function, Parameter
from kxchange.passes.retype import retype_graph, retype_parameter
from kxchange.shapes import Constraint
from kxchange.table import Table
from kxchange.types import DType
from kxchange_jax.calling import argument_names, as_input, bind_arguments, pack
from kxchange_jax.lowering import Lowering
from kxchange_jax.private import wide_integers
from kxchange_jax.sizes_out import bind_sizes
from kxchange_jax.trees import Path, find


@dataclass(frozen=True)
class Place:
    """Where a parameter of the model is found.

    Attributes:
        entry: Its record in the model.
        path: Keys in the params (or buffers) tree.
        fits_32_bits: For 64-bit integers: whether the model's values survive JAX without x64.
    """

    entry: Parameter
    path: Path
    fits_32_bits: bool = True


class Weights(Mapping[str, Any]):
    """Arrays by parameter name, read from a params tree; what it has not, from the model's buffers."""

    def __init__(self, places: Mapping[str, Place], params: Any, buffers: Any) -> None:
        self._places = places
        self._trees = (params, buffers)

    def __getitem__(self, name: str) -> Any:
        place = self._places[self._places[name].entry.alias_of or name]
        found = next((leaf for tree in self._trees if (leaf := find(tree, place.path)) is not None), None)
        if found is None or isinstance(found, Mapping):
            raise WeightError(f"params has no array at {'.'.join(place.path)!r}, which is parameter {name!r}.")
        return _as_stored(place, found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _as_stored(place: Place, found: Any) -> Any:
    """The array in the parameter's dtype and shape.

    Raises:
        WeightError: It has another, or may have lost bits on the way.
    """
    type = place.entry.type
    array = found if isinstance(found, jax.Array | np.ndarray) else jnp.asarray(found)
    if array.shape != type.shape:
        raise WeightError(f"parameter {place.entry.name!r} is {type}, but params holds shape {array.shape} there.")
    if array.dtype == type.dtype.numpy:
        return jnp.asarray(array)
    cut = type.dtype.is_integer and type.dtype.bits == 64 and DType.of(array.dtype).bits == 32 and place.fits_32_bits
    if cut and DType.of(array.dtype).is_signed == type.dtype.is_signed:
        return array.astype(type.dtype.numpy)
    raise WeightError(
        f"parameter {place.entry.name!r} is {type}, but params holds {array.dtype} there. "
        + ("Enable 64-bit types around the call: with jax.enable_x64(True)." if type.dtype.bits >= 64 else "Cast it.")
    )


@dataclass(frozen=True, eq=False, repr=False)
class Apply:
    """A pure function ``(params, *inputs, **inputs) -> outputs``.

    Works under `jit`, `grad`, `vmap` and with symbolic sizes, with or without x64: 64-bit integers of the model are
    64 bits wide inside. `params` may leave out whatever is in `buffers`.

    Attributes:
        function: The model's function.
        graph: Its legalized graph.
        rules: The lowering table.
        places: Where the parameters are.
        buffers: What the model does not train: running statistics, constants, integer tables.
        constraints: What must hold of the sizes.
    """

    function: Function
    graph: Graph
    rules: Table
    places: Mapping[str, Place]
    buffers: Any
    constraints: tuple[Constraint, ...]
    __name__ = "apply"

    def __call__(self, params: Any, /, *args: Any, **kwargs: Any) -> Any:
        """The outputs in the source's tree."""
        return pack(self.function, self.outputs(params, bind_arguments(self.function, args, kwargs)))

    def with_updates(self, params: Any, /, *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """The outputs without those that are next values of parameters, and these by the parameter's name."""
        updates = self.function.updates
        outputs = self.outputs(params, bind_arguments(self.function, args, kwargs))
        named = zip(self.function.output_names, outputs, strict=True)
        written = {updates[name]: value for name, value in named if name in updates}
        return pack(self.function, outputs, without=frozenset(updates)), written

    def outputs(self, params: Any, inputs: list[Any]) -> tuple[Any, ...]:
        """All outputs in order, for one value per input."""
        wide = bool(jax.config.read("jax_enable_x64"))
        types = self.function.input_types
        with wide_integers():
            arrays = [as_input(n, value, t, wide=wide) for (n, t), value in zip(types.items(), inputs, strict=True)]
            expected = [(name, type.shape) for name, type in types.items()]
            sizes = bind_sizes(expected, [array.shape for array in arrays], self.constraints, "apply")
            weights = Weights(self.places, params, self.buffers)
            results = Lowering(self.rules, sizes, weights).run(self.graph, arrays)
            return tuple(map(jnp.asarray, results))

    def in_float64(self) -> Apply:
        """The same function computed in float64: what it takes, holds and gives."""
        places = {n: replace(p, entry=retype_parameter(p.entry, DType.FLOAT64)) for n, p in self.places.items()}
        graph = retype_graph(self.graph, DType.FLOAT64)
        signature = self.function.with_graph(retype_graph(self.function.graph, DType.FLOAT64))
        return replace(self, function=signature, graph=graph, places=places)

    def __repr__(self) -> str:
        return f"<{self.function.describe('apply')}>"

    @property
    def __signature__(self) -> inspect.Signature:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = [name for name in argument_names(self.function) if name.isidentifier() and name != "params"]
        first = inspect.Parameter("params", inspect.Parameter.POSITIONAL_ONLY)
        return inspect.Signature([first, *(inspect.Parameter(name, kind) for name in names)])


@dataclass(frozen=True, eq=False, repr=False)
class JaxModel:
    """A model as JAX users write them: a pytree and a pure function.

    Attributes:
        params: Nested dicts by the parts of the source's names: what training changes. Tied parameters stand there
            once, under the first of their names.
        apply: ``apply(params, **inputs)``: the model's main function.
        buffers: The rest, in the same form: running statistics, constants, everything that is no parameter. `apply`
            reads them from here unless `params` has them.
        trainable: Like `params`, with bools: which of them the source trained (a mask for optax).
        functions: `apply` of every function of the model, by name.
        home: Whose layout and names the parameters have; see `kxchange.Model.home`.
    """

    params: dict[str, Any]
    apply: Apply
    buffers: dict[str, Any] = field(default_factory=dict[str, Any])
    trainable: dict[str, Any] = field(default_factory=dict[str, Any])
    functions: Mapping[str, Apply] = field(default_factory=dict[str, Apply])
    home: str = ""
    _compiled: dict[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]], repr=False)

    def __call__(self, *args: Any, function: str | None = None, **kwargs: Any) -> Any:
        """Run a function (the main one by default) with the model's own parameters, compiled on first use."""
        chosen = self.apply if function is None else self.functions[function]
        key = function or ""
        if key not in self._compiled:
            self._compiled[key] = jax.jit(chosen)
        with wide_integers():
            return self._compiled[key](self.params, *args, **kwargs)

    def __repr__(self) -> str:
        trees = {"parameters": self.params, "buffers": self.buffers}
        held = {what: jax.tree_util.tree_leaves(tree) for what, tree in trees.items()}
        return summary("JaxModel", held, self.functions)


def summary(kind: str, held: Mapping[str, Sequence[Any]], functions: Mapping[str, Apply]) -> str:
    """What an object holds and what its functions take and give, in a few lines: no number of weights makes it long."""
    parts = [f"{len(xs)} {what} of {sum(x.nbytes for x in xs):,} bytes" for what, xs in held.items() if xs]
    signatures = [apply.function.describe(name) for name, apply in functions.items()]
    return "\n  ".join([f"<{kind}: {', '.join(parts) or 'no parameters'}", *signatures]) + ">"
