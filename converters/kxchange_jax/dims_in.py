"""Which axes of the example inputs are symbolic, and under which names they are traced."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
from jax import export

from kxchange.constraints import Constraint
from kxchange.dims import Call, Dim, DimExpr, evaluate, parse_dim, symbol, symbols
from kxchange.errors import CaptureError, DimError
from kxchange_jax.dims_out import jax_dim, spell

BATCH = "batch"


@dataclass(slots=True)
class DimPlan:
    """The dims of every array input.

    Attributes:
        shapes: Dims by input name.
        sizes: Size of each symbol in the examples.
        constraints: What the user says of the sizes.
        defaults: Symbols that nobody asked for: the batch axes that are symbolic by default.
    """

    shapes: dict[str, tuple[Dim, ...]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    constraints: list[Constraint] = field(default_factory=list)
    defaults: set[str] = field(default_factory=set)

    def jax_sizes(self) -> tuple[dict[str, Any], dict[str, str]]:
        """JAX's size for each of our symbols, and our name for each of JAX's."""
        names = sorted({name for shape in self.shapes.values() for dim in shape for name in symbols(dim)})
        spelled = {name: name if name.isidentifier() else f"dim_{index}" for index, name in enumerate(names)}
        if not names:
            return {}, {}
        listed = ",".join(spelled.values())
        free = dict(zip(names, export.symbolic_shape(listed), strict=True))
        known = [condition for condition in self.constraints if condition.symbols <= free.keys()]
        scope = export.SymbolicScope([text for condition in known for text in spell(condition, free)])
        sizes = dict(zip(names, export.symbolic_shape(listed, scope=scope), strict=True))
        return sizes, {new: old for old, new in spelled.items()}

    def abstract(self, arrays: Mapping[str, Any], sizes: dict[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
        """The inputs as the tracer takes them."""
        return {
            name: jax.ShapeDtypeStruct(tuple(jax_dim(dim, sizes) for dim in self.shapes[name]), array.dtype)
            for name, array in arrays.items()
        }


def plan_dims(arrays: Mapping[str, Any], dynamic: Any, constraints: Sequence[str], *, batched: bool = True) -> DimPlan:
    """Read the `dynamic` argument of a capture; see `capture` for its forms.

    Args:
        arrays: The example arrays by input name.
        dynamic: What the user says of the axes.
        constraints: Conditions on the sizes, as text: ``"seq <= 64"``.
        batched: Whether axis 0 of an input that nobody speaks of is a batch.

    Raises:
        CaptureError: It names an input or an axis that is not there, or sizes contradict each other.
    """
    plan = DimPlan(constraints=[read_constraint(text) for text in constraints])
    specs = _specs_by_leaf(dynamic, arrays)
    for name, spec in specs.items():
        plan.shapes[name] = _read_spec(spec, name, tuple(arrays[name].shape))
    _bind_sizes(plan, arrays)
    for name, array in arrays.items():
        if name not in specs:
            static = dynamic is False or not batched
            plan.shapes[name] = tuple(array.shape) if static else _default_shape(name, tuple(array.shape), plan)
    plan.shapes = {name: plan.shapes[name] for name in arrays}
    return plan


_CONDITION = re.compile(r"(.+?)(<=|>=|==|<|>)(.+)")


def read_constraint(text: str) -> Constraint:
    """A condition such as ``seq <= 64`` or ``h % 8 == 0``.

    Raises:
        CaptureError: It is not of that form.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise CaptureError(f"constraints cannot be {text!r}. Write a comparison of sizes: 'seq <= 64', 'h % 8 == 0'.")
    try:
        left, right = parse_dim(match[1].strip()), parse_dim(match[3].strip())
    except DimError as error:
        raise CaptureError(f"constraints says {text!r}: {error}") from None
    reason = "stated at capture"
    if match[2] == "==":
        return _divides(left, reason) if right == 0 else Constraint("equal", left, right, reason)
    low, high = (right, left) if match[2][0] == ">" else (left, right)
    return Constraint("at_least", high, low if "=" in match[2] else low + 1, reason)


def _divides(remainder: Dim, reason: str) -> Constraint:
    """``h % 8 == 0`` as the divisibility that it states."""
    atom = remainder.lone_atom() if isinstance(remainder, DimExpr) else None
    if isinstance(atom, Call) and atom.kind == "mod":
        return Constraint("divides", atom.operands[1], atom.operands[0], reason)
    return Constraint("equal", remainder, 0, reason)


def _specs_by_leaf(dynamic: Any, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The part of `dynamic` that speaks of each input."""
    if dynamic is None or isinstance(dynamic, bool):
        return {}
    if not isinstance(dynamic, Mapping):
        if not isinstance(dynamic, list | tuple):
            raise CaptureError(f"dynamic cannot be {dynamic!r}. Give a dict by input name: {{'x': ('batch', 'seq')}}.")
        dynamic = dict(zip(dict.fromkeys(name.partition(".")[0] for name in arrays), dynamic, strict=False))
    specs: dict[str, Any] = {}
    for key, spec in dynamic.items():
        below = [name for name in arrays if name == key or name.startswith(f"{key}.")]
        if not below:
            known = ", ".join(arrays) or "none"
            raise CaptureError(f"dynamic names the input {key!r}, which is not an array input; they are: {known}.")
        for name in below:
            specs[name] = _descend(spec, name.removeprefix(key).lstrip(".").split(".") if name != key else [])
    return specs


def _is_leaf_spec(spec: Any) -> bool:
    """Whether a spec speaks of axes: a tuple of names, or a dict by axis; not a container of specs."""
    if spec is None:
        return True
    if isinstance(spec, Mapping):
        return all(isinstance(key, int) for key in spec) and not any(map(_is_container, spec.values()))
    return isinstance(spec, list | tuple) and not any(map(_is_container, spec))


def _is_container(item: Any) -> bool:
    return isinstance(item, Mapping | list | tuple)


def _descend(spec: Any, path: Sequence[str]) -> Any:
    """The spec of a leaf inside a nested argument; one spec may stand for every leaf below it."""
    for key in path:
        if _is_leaf_spec(spec):
            break
        spec = spec[key] if isinstance(spec, Mapping) else spec[int(key)]
    return spec


def _read_spec(spec: Any, name: str, shape: tuple[int, ...]) -> tuple[Dim, ...]:
    if spec is None:
        return shape
    by_axis = dict(spec) if isinstance(spec, Mapping) else dict(enumerate(spec))
    rank = len(shape)
    if not isinstance(spec, Mapping) and len(spec) != rank:
        raise CaptureError(
            f"dynamic gives {len(spec)} dims {tuple(spec)} for input {name!r}, whose example has shape {shape}. "
            "Give one per axis; None for an axis that stays as it is."
        )
    if outside := [axis for axis in by_axis if not -rank <= axis < rank]:
        raise CaptureError(f"dynamic names axis {outside[0]} of input {name!r}, which has rank {rank}.")
    named = {axis % rank: given for axis, given in by_axis.items()}
    return tuple(_read_dim(named.get(axis), name, axis, size) for axis, size in enumerate(shape))


def _read_dim(given: Any, name: str, axis: int, size: int) -> Dim:
    if given is None:
        return size
    if isinstance(given, str):
        try:
            return parse_dim(given)
        except DimError as error:
            raise CaptureError(f"dynamic names axis {axis} of input {name!r} {given!r}: {error}") from None
    if given != size:
        raise CaptureError(f"dynamic says axis {axis} of input {name!r} is {given!r}; the example has {size}.")
    return size


def _bind_sizes(plan: DimPlan, arrays: Mapping[str, Any]) -> None:
    """Sizes of the symbols from the examples; every axis must agree."""
    axes = [(n, axis, d) for n, dims in plan.shapes.items() for axis, d in enumerate(dims) if isinstance(d, DimExpr)]
    for name, axis, dim in axes:
        atom = dim.lone_atom()
        if isinstance(atom, str):
            plan.sizes.setdefault(atom, int(arrays[name].shape[axis]))
    for name, axis, dim in axes:
        if unknown := sorted(symbols(dim) - plan.sizes.keys()):
            raise CaptureError(
                f"the dim {str(dim)!r} of axis {axis} of input {name!r} cannot tell the size of {unknown[0]!r}. "
                f"Declare an axis that is {unknown[0]!r} itself."
            )
        size, wanted = int(arrays[name].shape[axis]), evaluate(dim, plan.sizes)
        if wanted != size:
            raise CaptureError(
                f"axis {axis} of the example for {name!r} is {size}, but {str(dim)!r} is {wanted} on other axes. "
                "One name is one size: use another name or examples that agree."
            )


def _default_shape(name: str, shape: tuple[int, ...], plan: DimPlan) -> tuple[Dim, ...]:
    """Axis 0 symbolic: the batch of the other inputs where its size is theirs, a name of its own where it is not."""
    if not shape:
        return shape
    first = next((str(dims[0]) for dims in plan.shapes.values() if dims and str(dims[0]) in plan.sizes), BATCH)
    chosen = first if plan.sizes.get(first, shape[0]) == shape[0] else f"{BATCH}_{name}".replace(".", "_")
    plan.sizes[chosen] = int(shape[0])
    plan.defaults.add(chosen)
    return (symbol(chosen), *shape[1:])
