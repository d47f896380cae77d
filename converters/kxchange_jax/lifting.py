"""The walk over a jaxpr that turns every equation into nodes, and collects all that it cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import numpy as np

from kxchange import ops
from kxchange.constant import Constant
from kxchange.dims import Dim, evaluate, symbols
from kxchange.errors import Blocker, CaptureError, DimError, KxchangeError, TypeInferenceError
from kxchange.graph import PROVENANCE, Graph, Value, parameter, placeholder
from kxchange.types import DType, TensorType
from kxchange_jax import lift_rules  # noqa: F401 - fills the table
from kxchange_jax.keys_in import moves_keys, on_words
from kxchange_jax.lift import SCOPE, lift
from kxchange_jax.numbers_in import Numbers, inner_jaxprs
from kxchange_jax.parameters_in import ParameterTable
from kxchange_jax.private import dim_of, is_key, is_symbolic, key_words, physical
from kxchange_jax.sources_in import Sources

NO_RULE = "there is no lifting rule for it"
INLINED = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vmap_call": "call",
    "composite": "jaxpr",
    "linear_call": "callee",
    "eval_jaxpr": "jaxpr",
}
"""Primitives that are calls, and the parameter that holds what they call."""
SMALL = 64
"""Elements up to which a constant stands in the graph; a larger one is kept with the parameters."""
TRIALS = ({0: 5, 1: 7, 2: 11}, {0: 4, 1: 9, 2: 6}, {0: 13, 1: 8, 2: 3})
"""Sizes at which two forms of a dim are compared, by the position of the symbol modulo 3."""


class Lifter:
    """One lift: blockers and faults are collected, and nodes get names and sources.

    Attributes:
        table: The model's parameters; large constants are added.
        names: Our name for each of JAX's symbols.
        numbers: The source's numbers at full precision.
        blockers: Places by primitive and reason.
        faults: Where our inference and JAX's disagree.
    """

    def __init__(self, table: ParameterTable, names: Mapping[str, str], numbers: Numbers, sources: Sources) -> None:
        self.table = table
        self.names = names
        self.numbers = numbers
        self.sources = sources
        self.blockers: dict[tuple[str, str], list[str]] = {}
        self.faults: list[str] = []
        self._depth = 0

    def run(
        self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Value | None], wanted: Sequence[bool] | None = None
    ) -> list[Value | None]:
        """Lift an open jaxpr on these inputs: what its outputs, those that are wanted, depend on."""
        wanted = [True] * len(jaxpr.outvars) if wanted is None else wanted
        equations, needed = live_equations(jaxpr, wanted)
        environment: dict[Any, Value | None] = dict(zip(jaxpr.invars, args, strict=True))
        for var, const in zip(jaxpr.constvars, consts, strict=True):
            environment[var] = self.constant(const) if var in needed else None
        outer = PROVENANCE.source

        def read(atom: Any) -> Value | None:
            return self.constant(atom.val, atom.aval.dtype) if hasattr(atom, "val") else environment.get(atom)

        for eqn in equations:
            operands = [read(atom) for atom in eqn.invars]
            source = self.sources.source(eqn, outer, operands)
            results = self.equation(eqn, operands, source, [var in needed for var in eqn.outvars])
            environment.update(zip(eqn.outvars, results, strict=True))
            PROVENANCE.source = outer
        return [read(atom) if want else None for atom, want in zip(jaxpr.outvars, wanted, strict=True)]

    def equation(self, eqn: Any, operands: list[Any], source: Any, wanted: Sequence[bool]) -> Sequence[Value | None]:
        """The results of one equation."""
        name = eqn.primitive.name
        called = self._called(eqn, name)
        if called is not None:
            PROVENANCE.source = source
            return self.inline(called, operands, wanted)
        entry = lift.entries.get(name)
        if entry is None:
            return self.block(eqn, name, NO_RULE, str(source))
        PROVENANCE.name, PROVENANCE.source = self.sources.name(source.path, name.replace("-", "_")), source
        before = SCOPE.equation, SCOPE.types
        try:
            types = tuple(self.type_of(var.aval) for var in eqn.outvars)
            SCOPE.lifter, SCOPE.equation, SCOPE.types = self, eqn, types
            params = self.parameters(eqn.params)
            if moves_keys(eqn):
                operands, params = on_words(eqn, operands, params)
            results = entry.rule(*operands, **params)
        except (CaptureError, TypeInferenceError, DimError) as error:
            return self.block(eqn, name, str(error), str(source))
        finally:
            SCOPE.equation, SCOPE.types = before
            PROVENANCE.name = ""
        results = results if isinstance(results, tuple) else (results,)
        self.compare(eqn, results, f"{name} at {source}")
        return results

    def _called(self, eqn: Any, name: str) -> Any:
        """The jaxpr that an equation calls, if it is nothing but a call."""
        found = eqn.params.get(INLINED.get(name, ""))
        return None if found is None else next(inner_jaxprs(found), None)

    def inline(
        self, jaxpr: Any, operands: Sequence[Value | None], wanted: Sequence[bool] | None = None
    ) -> list[Value | None]:
        """Lift a jaxpr, open or closed, in place of what calls it."""
        consts = getattr(jaxpr, "consts", ())
        return self.run(getattr(jaxpr, "jaxpr", jaxpr), consts, list(operands), wanted)

    def expand(self, function: Callable[..., Any], operands: Sequence[Value]) -> list[Value]:
        """Lift a function that JAX writes the current equation out with, in its place."""
        before = PROVENANCE.name, PROVENANCE.source
        jaxpr = jax.make_jaxpr(function)(*(physical(var.aval) for var in SCOPE.equation.invars))
        try:
            return cast("list[Value]", self.inline(jaxpr, operands))
        finally:
            PROVENANCE.name, PROVENANCE.source = before

    def subgraph(self, jaxpr: Any) -> Graph:
        """Lift a closed jaxpr as a closed graph; sizes are known by name inside too."""
        before = PROVENANCE.name, PROVENANCE.source
        inputs = [placeholder(f"x{i}", self.type_of(var.aval)) for i, var in enumerate(jaxpr.jaxpr.invars)]
        self._depth += 1
        try:
            return Graph(tuple(inputs), tuple(cast("list[Value]", self.inline(jaxpr, inputs))))
        finally:
            self._depth -= 1
            PROVENANCE.name, PROVENANCE.source = before

    def parameters(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """An equation's parameters with sizes in our form."""
        return {name: self._parameter(value) for name, value in params.items()}

    def _parameter(self, value: Any) -> Any:
        if is_symbolic(value):
            return self.dim(value)
        if isinstance(value, np.integer):
            return int(value)
        return tuple(map(self._parameter, value)) if type(value) in (tuple, list) else value

    def dim(self, size: Any) -> Dim:
        """One of JAX's sizes in our form."""
        return dim_of(size, self.names)

    def type_of(self, aval: Any) -> TensorType:
        """The type of an abstract value; a random key is the words of its state."""
        shape = tuple(self.dim(size) for size in aval.shape)
        if is_key(aval.dtype):
            return TensorType(DType.UINT32, (*shape, *key_words(aval.dtype)))
        return TensorType(DType.of(aval.dtype), shape)

    def constant(self, value: Any, dtype: Any = None) -> Value:
        """A constant of a jaxpr: a number, a small array, or one kept with the parameters."""
        if hasattr(value, "dtype") and is_key(value.dtype):
            value = jax.random.key_data(value)
        array = np.asarray(value, None if dtype is None or is_key(dtype) else dtype)
        known = self.table.named(value, array)
        if known is not None:
            return parameter(known.name, known.type)
        if not array.ndim:
            return ops.full(shape=(), value=self.numbers.exact(array), dtype=DType.of(array.dtype))
        first = array.reshape(-1)[:1]
        if array.size and (array == first).all():
            number = self.numbers.exact(first[0])
            return ops.full(shape=array.shape, value=number, dtype=DType.of(array.dtype))
        if array.size <= SMALL or self._depth:
            return ops.constant(value=Constant(array))
        entry = self.table.add_constant(value, array)
        return parameter(entry.name, entry.type)

    def block(self, eqn: Any, name: str, reason: str, place: str) -> list[Value]:
        """Note a blocker, and go on with values of JAX's types."""
        self.blockers.setdefault((name, reason), []).append(place)
        return [self.poison(var.aval) for var in eqn.outvars]

    def poison(self, aval: Any) -> Value:
        """A stand-in of the type that JAX gives."""
        try:
            return placeholder("unsupported", self.type_of(aval))
        except (KxchangeError, AttributeError, TypeError):
            return placeholder("unsupported", TensorType(DType.FLOAT32, ()))

    def compare(self, eqn: Any, results: Sequence[Value], place: str) -> None:
        """Check our types against JAX's, for all sizes or at several."""
        wanted = [self.type_of(var.aval) for var in eqn.outvars]
        if len(results) != len(wanted):
            self.faults.append(f"{place}: {len(results)} results here, {len(wanted)} in jax")
            return
        for ours, theirs in zip(results, wanted, strict=True):
            if ours.dtype is not theirs.dtype or ours.ndim != theirs.rank or _differ(ours.shape, theirs.shape):
                self.faults.append(f"{place}: {ours.type} here, {theirs} in jax")

    def collected(self) -> list[Blocker]:
        """All blockers so far."""
        return [Blocker(name, reason, tuple(places)) for (name, reason), places in self.blockers.items()]


def live_equations(jaxpr: Any, wanted: Sequence[bool]) -> tuple[list[Any], set[Any]]:
    """The equations that the wanted outputs depend on, or that have effects; and every variable they need."""
    needed = {var for var, want in zip(jaxpr.outvars, wanted, strict=True) if want and not hasattr(var, "val")}
    live: list[Any] = []
    for eqn in reversed(jaxpr.eqns):
        if eqn.effects or any(var in needed for var in eqn.outvars):
            live.append(eqn)
            needed.update(atom for atom in eqn.invars if not hasattr(atom, "val"))
    return live[::-1], needed


def _differ(ours: Sequence[Dim], theirs: Sequence[Dim]) -> bool:
    return any(a != b and _differs_somewhere(a, b) for a, b in zip(ours, theirs, strict=True))


def _differs_somewhere(a: Dim, b: Dim) -> bool:
    """Whether two dims that are written differently differ at some sizes."""
    if isinstance(a, int) and isinstance(b, int):
        return True
    names = sorted(symbols(a) | symbols(b))
    for trial in TRIALS:
        sizes = {name: trial[place % 3] * 8 for place, name in enumerate(names)}
        if evaluate(a, sizes) != evaluate(b, sizes):
            return True
    return False
