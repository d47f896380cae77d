"""There and back: a model built in another framework and read back, compared with what went in."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kxchange.comparison import compare_models
from kxchange.converter import Converter, converter
from kxchange.dims import evaluate
from kxchange.errors import InputError, KxchangeError
from kxchange.model import Array, Function, Model
from kxchange.types import TensorType
from kxchange.validation.against import validate_against
from kxchange.validation.cases import make_cases
from kxchange.validation.report import Report, Row
from kxchange.validation.targets import choose_targets
from kxchange.validation.validate import CASES

SHOWN = 5
"""Differences of the graphs that a row lists."""


def round_trip(
    model: Model,
    *,
    backends: str | Sequence[str] = "all",
    cases: int = CASES,
    seed: int = 0,
    matrix: bool = False,
) -> Report:
    """Build the model in each backend, read it back, and ask the three questions of what came back.

    A graph may come back with other nodes, which is a note: the behaviour decides. Weights are compared by name.

    Args:
        model: What goes out.
        backends: Which ones; ``"all"`` are those that both build and capture, or both save and load.
        cases: Generated cases for the behaviour.
        seed: Of the cases.
        matrix: Send what each backend gave back on through every other one, too.
    """
    chosen = dict.fromkeys(target.backend for target in choose_targets(backends))
    names = [name for name in chosen if backends != "all" or returns(converter(name))]
    ways = [(name,) for name in names]
    ways += [(first, second) for first in names for second in names if matrix and first != second]
    memory: dict[str, Model | KxchangeError] = {}
    rows = [trip(model, way, cases, seed, memory) for way in ways]
    labels = [case.label for case in make_cases(model, count=cases, seed=seed)]
    settings: dict[str, Any] = {"cases": cases, "seed": seed, "round_trip": True}
    return Report("round trips", rows, labels, settings=settings)


def returns(backend: Converter) -> bool:
    """Whether what the backend gets can be read back."""
    live = backend.build_verb and backend.capture_verb and backend.tensor_verb
    return not backend.missing and bool(live or (backend.save_verb and backend.load_verb))


def trip(model: Model, way: Sequence[str], cases: int, seed: int, memory: dict[str, Model | KxchangeError]) -> Row:
    """The row of one way through backends; an error is a note on it.

    Args:
        model: What goes out.
        way: The backends in order.
        cases: Generated cases.
        seed: Of the cases.
        memory: What came back from each first backend, filled as it is needed.
    """
    label = f"through {', then '.join(way)}"
    try:
        first, *rest = way
        if first not in memory:
            memory[first] = attempt(model, first)
        back = memory[first]
        if isinstance(back, KxchangeError):
            raise back
        for name in rest:
            back = there_and_back(with_names(back, model), converter(name))
        row = validate_against(model, with_names(back, model), cases=cases, seed=seed).rows[0]
    except KxchangeError as error:
        return Row(label, notes=[f"round trip: unverified, {error}"])
    row.backend = label
    found = [line for line in compare_models(model, back) if not line.startswith("parameter")]
    row.notes += [f"graph: {line}" for line in found[:SHOWN]]
    row.notes += [f"graph: {len(found) - SHOWN} more differences"] * (len(found) > SHOWN)
    only = [name for name in back.parameters if name not in model.parameters]
    row.notes += [f"weights: {len(only)} more came back: {', '.join(map(repr, only[:3]))}"] * bool(only)
    return row


def attempt(model: Model, name: str) -> Model | KxchangeError:
    """The model as one backend gives it back, or why it does not."""
    try:
        return there_and_back(model, converter(name))
    except KxchangeError as error:
        return error


def with_names(back: Model, model: Model) -> Model:
    """What came back with the output names that went out, by position.

    A single plain output has no name in most frameworks; the graphs' comparison says that it changed.
    """
    names, function = model.main.output_names, back.main
    if len(names) != len(function.output_names):
        return back
    named = Function(function.graph, names)
    return back.replace(functions={n: named if f is function else f for n, f in back.functions.items()})


def there_and_back(model: Model, backend: Converter) -> Model:
    """The model as the backend gives it back: by a live object where it can be captured, else by a file.

    Raises:
        InputError: The backend offers neither.
        KxchangeError: It cannot be built, or not be captured.
    """
    if backend.build_verb and backend.capture_verb and backend.tensor_verb:
        return capture_live(model, backend)
    if backend.save_verb and backend.load_verb:
        with tempfile.TemporaryDirectory(prefix="kx-trip-") as folder:
            path = Path(folder) / f"model{backend.suffixes[0]}"
            backend.save(model, path)
            return materialize(backend.load(path))
    raise InputError(f"{backend.name} has no way back: it neither captures what it builds nor loads what it saves.")


def materialize(model: Model) -> Model:
    """The model with its weights in memory: the file that it came from is about to go."""
    entries = [
        entry if entry.alias_of else entry.replace(data=entry.array.copy()) for entry in model.parameters.values()
    ]
    return model.replace(parameters=entries)


def capture_live(model: Model, backend: Converter) -> Model:
    """Build, then capture with example inputs of the first case and the model's own dims."""
    types = model.main.input_types
    case = make_cases(model, count=1, seed=0)[0]
    sizes = {name: size + 2 for name, size in case.dims.items()}  # 1 and equal sizes make tracers specialise
    examples = {name: enlarge(case.inputs[name], type, sizes) for name, type in types.items()}
    tensors = {name: backend.tensor(array) for name, array in examples.items()}
    dynamic = {name: tuple(None if isinstance(d, int) else str(d) for d in t.shape) for name, t in types.items()}
    live = backend.build(model)
    return backend.capture(live, dynamic=dynamic, **nest_arguments(tensors))


def enlarge(array: Array, type: TensorType, sizes: Mapping[str, int]) -> Array:
    """An example of other sizes: its first element, repeated."""
    shape = tuple(int(evaluate(dim, sizes)) for dim in type.shape)
    return np.resize(array, shape).astype(array.dtype)


def nest_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name, nested where names have dots: ``past.0.1`` is ``past[0][1]``."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        place = tree
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value
    return {name: as_sequences(value) for name, value in tree.items()}


def as_sequences(tree: Any) -> Any:
    """Dicts whose keys are 0, 1, 2 ... as tuples."""
    if not isinstance(tree, dict):
        return tree
    items: dict[str, Any] = {str(key): as_sequences(value) for key, value in tree.items()}  # pyright: ignore
    if list(items) == [str(number) for number in range(len(items))]:
        return tuple(items.values())
    return items
