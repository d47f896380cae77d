"""Which axes of the example inputs are symbolic, under which names, and at which sizes they are traced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.export import Dim as TorchDim

from kxchange.dims import Dim, DimExpr, Range, evaluate, parse_dim, symbol, symbols
from kxchange.errors import CaptureError, DimError
from kxchange_torch.inputs_in import Examples, Leaf

BATCH = "batch"
SMALLEST = 2
"""Tracers take sizes 0 and 1 for constants: examples of those sizes are enlarged to at least this."""


@dataclass(slots=True)
class DimPlan:
    """The dims of every tensor leaf.

    Attributes:
        shapes: Dims by leaf name.
        sizes: Size at which each symbol is traced.
        ranges: What the user says of a symbol's size.
        defaults: Symbols that nobody asked for: the batch axes that are symbolic by default.
    """

    shapes: dict[str, tuple[Dim, ...]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)
    defaults: set[str] = field(default_factory=set)

    def axes(self) -> list[tuple[str, int, DimExpr]]:
        """Every symbolic axis: leaf name, axis, dim."""
        return [
            (name, axis, dim)
            for name, shape in self.shapes.items()
            for axis, dim in enumerate(shape)
            if isinstance(dim, DimExpr)
        ]


def plan_dims(examples: Examples, dynamic: Any) -> DimPlan:
    """Read the `dynamic` argument of a capture; see `capture` for its forms.

    Raises:
        CaptureError: It names an input or an axis that is not there, or sizes contradict each other.
    """
    tensors = {leaf.name: leaf for leaf in examples.leaves if leaf.is_tensor}
    plan = DimPlan()
    specs = _specs_by_leaf(dynamic, tensors)
    for name, leaf in tensors.items():
        if name in specs:
            plan.shapes[name] = _read_spec(specs[name], leaf, plan)
    _bind_sizes(plan, tensors)
    for name, leaf in tensors.items():
        if name not in specs:
            plan.shapes[name] = tuple(leaf.value.shape) if dynamic is False else _default_shape(leaf, plan)
    plan.shapes = {name: plan.shapes[name] for name in tensors}
    return plan


def _specs_by_leaf(dynamic: Any, tensors: Mapping[str, Leaf]) -> dict[str, Any]:
    """The part of `dynamic` that speaks of each leaf."""
    if dynamic is None or isinstance(dynamic, bool):
        return {}
    if not isinstance(dynamic, Mapping):
        names = list(dict.fromkeys(name.partition(".")[0] for name in tensors))
        if not isinstance(dynamic, list | tuple):
            raise CaptureError(f"dynamic cannot be {dynamic!r}. Give a dict by input name: {{'x': ('batch', 'seq')}}.")
        dynamic = dict(zip(names, dynamic, strict=False))
    specs: dict[str, Any] = {}
    for key, spec in dynamic.items():
        below = [name for name in tensors if name == key or name.startswith(f"{key}.")]
        if not below:
            known = ", ".join(tensors) or "none"
            raise CaptureError(f"dynamic names the input {key!r}, which is not a tensor input; they are: {known}.")
        for name in below:
            specs[name] = _descend(spec, name.removeprefix(key).lstrip(".").split(".") if name != key else [])
    return specs


def _is_leaf_spec(spec: Any) -> bool:
    """Whether a spec speaks of axes: a tuple of names, or a dict by axis; not a container of specs."""
    if spec is None:
        return True
    if isinstance(spec, Mapping):
        return all(isinstance(key, int) for key in spec) and not any(_is_container(item) for item in spec.values())
    return isinstance(spec, list | tuple) and not any(_is_container(item) for item in spec)


def _is_container(item: Any) -> bool:
    return isinstance(item, Mapping | list | tuple)


def _descend(spec: Any, path: Sequence[str]) -> Any:
    """The spec of a leaf inside a nested argument; one spec may stand for every leaf below it."""
    for key in path:
        if _is_leaf_spec(spec):
            break
        spec = spec[key] if isinstance(spec, Mapping) else spec[int(key)]
    return spec


def _read_spec(spec: Any, leaf: Leaf, plan: DimPlan) -> tuple[Dim, ...]:
    shape = tuple(leaf.value.shape)
    if spec is None:
        return shape
    by_axis = dict(spec) if isinstance(spec, Mapping) else dict(enumerate(spec))
    rank = len(shape)
    if not isinstance(spec, Mapping) and len(spec) != rank:
        raise CaptureError(
            f"dynamic gives {len(spec)} dims {tuple(spec)} for input {leaf.name!r}, whose example has shape {shape}. "
            "Give one per axis; None for an axis that stays as it is."
        )
    if outside := [axis for axis in by_axis if not -rank <= axis < rank]:
        raise CaptureError(f"dynamic names axis {outside[0]} of input {leaf.name!r}, which has rank {rank}.")
    named = {axis % rank: name for axis, name in by_axis.items()}
    return tuple(_read_dim(named.get(axis), leaf, axis, plan) for axis in range(rank))


def _read_dim(given: Any, leaf: Leaf, axis: int, plan: DimPlan) -> Dim:
    size = int(leaf.value.shape[axis])
    if given is None or given is TorchDim.STATIC or _is_hint(given, "STATIC"):
        return size
    if isinstance(given, str):
        return _parse(given, leaf, axis)
    if isinstance(given, int) and not isinstance(given, bool):
        if given != size:
            raise CaptureError(f"dynamic says axis {axis} of input {leaf.name!r} is {given}; the example has {size}.")
        return size
    if _is_hint(given, "AUTO") or _is_hint(given, "DYNAMIC"):
        name = f"{leaf.name}_{axis}"
    elif isinstance(given, TorchDim):
        name = given.__name__
    else:
        raise CaptureError(
            f"dynamic gives {given!r} for axis {axis} of input {leaf.name!r}: use a name, a Dim or None."
        )
    dim = _parse(name, leaf, axis)
    low, high = getattr(given, "min", None), getattr(given, "max", None)
    if low is not None or high is not None:
        plan.ranges[name] = (int(low or 0), _finite(high))
    return dim


def _is_hint(given: Any, kind: str) -> bool:
    return getattr(getattr(given, "type", None), "name", "") == kind


def _finite(high: Any) -> int | None:
    """An upper bound, where it is one: torch writes a large number for none."""
    return None if high is None or not isinstance(high, int) or high >= 2**31 - 1 else high


def _parse(text: str, leaf: Leaf, axis: int) -> Dim:
    try:
        return parse_dim(text)
    except DimError as error:
        raise CaptureError(f"dynamic names axis {axis} of input {leaf.name!r} {text!r}: {error}") from None


def _bind_sizes(plan: DimPlan, tensors: Mapping[str, Leaf]) -> None:
    """Sizes of the symbols from the examples; every axis must agree."""
    origin: dict[str, str] = {}
    axes = plan.axes()
    for name, axis, dim in axes:
        atom = dim.lone_atom()
        if isinstance(atom, str):
            size, where = int(tensors[name].value.shape[axis]), f"axis {axis} of {name!r}"
            if plan.sizes.setdefault(atom, size) != size:
                raise CaptureError(
                    f"the dim {atom!r} is {plan.sizes[atom]} at {origin[atom]} and {size} at {where}. "
                    "One name is one size: use another name or examples that agree."
                )
            origin.setdefault(atom, where)
    for name, axis, dim in axes:
        size = int(tensors[name].value.shape[axis])
        if (solved := solve(dim, plan.sizes, size)) is not None:
            plan.sizes[solved[0]] = solved[1]
        if unknown := sorted(symbols(dim) - plan.sizes.keys()):
            raise CaptureError(
                f"the dim {str(dim)!r} of axis {axis} of input {name!r} cannot tell the size of {unknown[0]!r}. "
                f"Declare an axis that is {unknown[0]!r} itself."
            )
        if evaluate(dim, plan.sizes) != size:
            raise CaptureError(
                f"axis {axis} of the example for {name!r} is {size}, but {str(dim)!r} is {evaluate(dim, plan.sizes)}."
            )


def solve(dim: DimExpr, known: Mapping[str, Any], size: Any) -> tuple[str, Any] | None:
    """The one symbol of a dim without a size, and its size if the dim is linear in it; None where there is none."""
    unknown = sorted(symbols(dim) - known.keys())
    if len(unknown) != 1:
        return None
    base, one, two = (evaluate(dim, {**known, unknown[0]: n}) for n in range(3))
    step = one - base
    return (unknown[0], (size - base) // step) if two - one == step and step > 0 else None


def _default_shape(leaf: Leaf, plan: DimPlan) -> tuple[Dim, ...]:
    """Axis 0 symbolic: the batch of the other inputs where its size is theirs, a name of its own where it is not."""
    shape = tuple(map(int, leaf.value.shape))
    if not shape:
        return shape
    first = next((str(dims[0]) for dims in plan.shapes.values() if dims and str(dims[0]) in plan.sizes), BATCH)
    name = first if plan.sizes.get(first, shape[0]) == shape[0] else f"{BATCH}_{leaf.name}"
    plan.sizes[name] = shape[0]
    plan.defaults.add(name)
    return (symbol(name), *shape[1:])


def enlarge(examples: Examples, plan: DimPlan) -> Examples:
    """Examples whose symbolic axes have at least two elements, repeated along them; `plan.sizes` follows."""
    if all(size >= SMALLEST for size in plan.sizes.values()) and all(
        evaluate(dim, plan.sizes) >= SMALLEST for _, _, dim in plan.axes()
    ):
        return examples
    taken = set(plan.sizes.values())
    for name, size in plan.sizes.items():
        if size < SMALLEST:
            plan.sizes[name] = next(n for n in range(SMALLEST, 64) if n not in taken or n > len(taken) + SMALLEST)
            taken.add(plan.sizes[name])
    return resized(examples, plan, plan.sizes)


def resized(examples: Examples, plan: DimPlan, sizes: Mapping[str, int]) -> Examples:
    """Examples of other sizes, cut or repeated along their symbolic axes."""
    tensors: dict[str, torch.Tensor] = {}
    for name, axis, dim in plan.axes():
        tensor: Any = tensors[name] if name in tensors else examples.leaf(name).value
        tensors[name] = _resized(tensor, axis, evaluate(dim, sizes))
    return examples.with_tensors(tensors)


def _resized(tensor: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    old = tensor.shape[axis]
    if old == size:
        return tensor
    if old == 0:
        return tensor.new_zeros((*tensor.shape[:axis], size, *tensor.shape[axis + 1 :]))
    return tensor.index_select(axis, torch.arange(size, device=tensor.device) % old)


def dynamic_shapes(examples: Examples, plan: DimPlan) -> list[Any]:
    """The specs of `torch.export`, leaf by leaf: `AUTO` with the user's range for each symbolic axis."""
    specs: list[Any] = []
    for leaf in examples.leaves:
        shape = plan.shapes.get(leaf.name, ())
        axes = {axis: _auto(dim, plan) for axis, dim in enumerate(shape) if isinstance(dim, DimExpr)}
        specs.append(axes or None)
    return specs


def _auto(dim: DimExpr, plan: DimPlan) -> Any:
    low, high = plan.ranges.get(str(dim), (None, None))
    return TorchDim.AUTO(min=low, max=high) if low or high else TorchDim.AUTO
