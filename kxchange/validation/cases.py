"""Informative inputs: several sizes never seen in capture, several scales, values that fit each input's role."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np

from kxchange.array_archives import read_arrays
from kxchange.dims import evaluate, symbols
from kxchange.errors import DimError, InputError
from kxchange.model import Array, Function, Model
from kxchange.types import DType, TensorType
from kxchange.validation.roles import InputRole, input_roles

SIZES = (2, 1, 3, 7)
"""Sizes tried for every symbolic dim, within its constraints."""
SCALES = (1.0, 1e-2, 1e2)
"""Factors on floating inputs: an epsilon shows only at the small one."""
ON = 0.8
"""Share of masks and flags that is on."""
FALLBACK_SIZES = (16, 32, 33, 64, 96, 128, 224)
"""Sizes tried where the small ones leave some inner dim empty."""


@dataclass(frozen=True, slots=True)
class Case:
    """One set of inputs.

    Attributes:
        label: Sizes, scale and seed, for the report.
        inputs: Arrays by input name.
        dims: Size of every symbol.
        expected: Recorded outputs, if the case comes from the file.
    """

    label: str
    inputs: dict[str, Array]
    dims: dict[str, int]
    expected: Mapping[str, Array] | None = None


def make_cases(model: Model, *, count: int, seed: int, function: str | None = None) -> list[Case]:
    """Seeded cases over the sizes and scales above, then the file's recorded samples.

    Args:
        model: Whose inputs.
        count: How many generated cases.
        seed: The same seed gives the same inputs.
        function: Which entry point; default the main one.
    """
    entry = model.function(function)
    roles = input_roles(entry, model.parameters)
    assignments = list(itertools.islice(itertools.cycle(feasible_sizes(model, entry) or [{}]), count))
    generated = [
        generate_case(entry, roles, dims, SCALES[number % len(SCALES)], (seed, number))
        for number, dims in enumerate(assignments)
    ]
    return [*generated, *recorded_cases(model, entry, function)]


def given_cases(entry: Function, inputs: Sequence[Mapping[str, Array]]) -> Iterator[Case]:
    """The caller's own inputs, checked.

    Raises:
        InputError: a case lacks an input, or one is of another dtype or rank.
    """
    for number, case in enumerate(inputs):
        missing = [name for name in entry.input_names if name not in case]
        if missing:
            raise InputError(f"sample {number} has no input {missing[0]!r}; it has {', '.join(case)}.")
        for name, type in entry.input_types.items():
            if case[name].dtype != type.dtype.numpy or case[name].ndim != len(type.shape):
                given = f"{case[name].dtype}{list(case[name].shape)}"
                raise InputError(f"sample {number} has input {name!r} as {given}, but the model takes {type}.")
        yield Case(f"given sample {number}", {name: np.asarray(case[name]) for name in entry.input_names}, {})


def read_samples(path: str | PathLike[str]) -> list[dict[str, Array]]:
    """Cases of an `.npz`: entries called as the inputs are one case; ``0/x``, ``1/x`` ... are several.

    Raises:
        InputError: it is no such archive.
    """
    arrays = read_arrays(path)
    cases: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        number, slash, rest = name.partition("/")
        numbered = slash and number.isdecimal()
        cases.setdefault(number if numbered else "", {})[rest if numbered else name] = array
    return [cases[key] for key in sorted(cases, key=lambda key: (len(key), key))]


def recorded_cases(model: Model, entry: Function, function: str | None) -> Iterator[Case]:
    """The samples stored with the model for this function."""
    for number, sample in enumerate(model.samples):
        if sample.get("function", "main") == (function or "main") and set(sample["inputs"]) == set(entry.input_names):
            yield Case(f"recorded sample {number}", dict(sample["inputs"]), {}, sample.get("outputs"))


def feasible_sizes(model: Model, entry: Function) -> list[dict[str, int]]:
    """Sizes for the symbols under which every constraint holds and no dim of the graph is empty or negative.

    Where some dim is empty at every size (the second chunk of what fits one), empty ones are allowed.
    """
    if not entry.dims:
        return [{}]
    return _feasible(model, entry, 1) or _feasible(model, entry, 0)


def _feasible(model: Model, entry: Function, least: int) -> list[dict[str, int]]:
    found: list[dict[str, int]] = []
    for candidate in candidate_sizes(entry.dims, example_sizes(model)):
        if candidate not in found and is_feasible(model, entry, candidate, least=least):
            found.append(candidate)
        if len(found) == len(SIZES):
            break
    return found


def example_sizes(model: Model) -> dict[str, int]:
    """The sizes used in capture, as recorded."""
    recorded = model.provenance.get("example_dims", {})
    return {str(name): int(size) for name, size in dict(recorded).items()}


def candidate_sizes(names: Sequence[str], example: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Small distinct sizes first, then sizes around the example, then larger ones; the first symbol varies most."""
    for shift in range(len(SIZES)):
        yield {name: SIZES[(shift + axis) % len(SIZES)] for axis, name in enumerate(names)}
    near = {name: example.get(name, FALLBACK_SIZES[0]) for name in names}
    for size in SIZES:
        yield near | {names[0]: size}
        yield {name: base + (size if axis else 0) for axis, (name, base) in enumerate(near.items())} | {names[0]: size}
    for large in FALLBACK_SIZES:
        for size in SIZES:
            yield dict.fromkeys(names, large) | {names[0]: size}
            yield {name: large + axis * 8 for axis, name in enumerate(names)}
    yield near


def is_feasible(model: Model, entry: Function, dims: Mapping[str, int], *, least: int = 1) -> bool:
    """Whether the sizes fit every constraint and leave no dim of the graph below `least`."""
    try:
        if not all(c.holds(dims) for c in model.constraints if c.symbols <= dims.keys()):
            return False
        types: Iterable[TensorType] = itertools.chain(
            (value.type for value in entry.graph.inputs),
            (type for node in entry.graph.nodes() for type in node.types),
        )
        checks = all(c.holds(dims) for _, c in entry.node_constraints() if c.symbols <= dims.keys())
        return checks and all(
            evaluate(dim, dims) >= least
            for type in set(types)
            for dim in type.shape
            if not isinstance(dim, int) and symbols(dim) <= dims.keys()
        )
    except (DimError, ZeroDivisionError):
        return False


def generate_case(
    entry: Function, roles: Mapping[str, InputRole], dims: Mapping[str, int], scale: float, seed: tuple[int, int]
) -> Case:
    """Inputs of the given sizes."""
    inputs = {
        name: draw(roles[name], type, dims, scale, np.random.default_rng([*seed, position]))
        for position, (name, type) in enumerate(entry.input_types.items())
    }
    sizes = " ".join(f"{name}={size}" for name, size in dims.items())
    return Case(f"{sizes or 'static sizes'} scale={scale:g} seed={seed[0]}.{seed[1]}", inputs, dict(dims))


def draw(role: InputRole, type: TensorType, dims: Mapping[str, int], scale: float, rng: np.random.Generator) -> Array:
    """Values for one input: indices inside their range, masks mostly on, images and features normal."""
    shape = tuple(int(evaluate(dim, dims)) for dim in type.shape)
    target = type.dtype.numpy
    if type.dtype is DType.BOOL:
        return rng.random(shape) < ON
    if role.kind == "flag":
        return (rng.random(shape) < ON).astype(target)
    if type.dtype.is_integer:
        return rng.integers(role.low, max(role.low + 1, int(evaluate(role.high, dims))), shape).astype(target)
    if type.dtype.is_complex:
        return (scale * (rng.normal(size=shape) + 1j * rng.normal(size=shape))).astype(target)
    return (scale * rng.normal(size=shape)).astype(target)
