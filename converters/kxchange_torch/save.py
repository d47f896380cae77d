"""Models as `.pt2` files, which `torch.export.load` opens without kxchange."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from kxchange.dims import Dim, DimExpr, evaluate, symbols
from kxchange.errors import BuildError
from kxchange.format.atomic import atomic_writer
from kxchange.model import Function, Model
from kxchange.validation.cases import feasible_sizes, is_feasible
from kxchange_torch.build import build
from kxchange_torch.dtypes import torch_dtype
from kxchange_torch.private import expression_of
from kxchange_torch.private_recurrent import keeping_recurrent_layers

EXAMPLE_SIZES = (3, 4, 6, 8, 12, 16, 32, 64, 96, 128, 224)
"""Sizes to trace with: never 0 or 1, which torch would take for facts."""


def save(model: Model, path: Path, *, function: str | None = None) -> list[Path]:
    """Write one function of a model as an exported program, with its symbolic sizes.

    Args:
        model: What to write.
        path: The `.pt2` file.
        function: Which entry point; by default the main one.

    Returns:
        The file written.

    Raises:
        BuildError: torch cannot export the function, or fixes a size that is symbolic in the model.
        WriteError: The file cannot be written; a previous one is intact.
    """
    program = export(model, function=function)
    with atomic_writer(path) as stream:
        torch.export.save(program, stream)
    return [Path(path)]


def export(model: Model, *, function: str | None = None) -> torch.export.ExportedProgram:
    """An exported program of one function.

    Raises:
        BuildError: torch cannot export it, or fixes a size that is symbolic in the model.
    """
    name = function or next(key for key, value in model.functions.items() if value is model.main)
    chosen = model.function(name)
    module = build(model, function=name, layout="source")
    sizes = _example_sizes(model, chosen)
    tensors = [
        torch.zeros(tuple(evaluate(dim, sizes) for dim in type.shape), dtype=torch_dtype(type.dtype))
        for type in chosen.input_types.values()
    ]
    problems: list[str] = []
    for shapes in _dynamic_shapes(chosen):
        try:
            with torch.no_grad(), keeping_recurrent_layers():
                program = torch.export.export(module, nested(chosen, tensors), dynamic_shapes=shapes, strict=False)
        except Exception as error:  # torch's own types of error differ from version to version
            problems.append(next(iter(str(error).strip().splitlines()), type(error).__name__))
        else:
            _check_sizes(name, chosen, program)
            return program
    raise BuildError(
        f"torch.export cannot export the function {name!r}: {problems[0]} Save it as .kx or .onnx instead."
    )


def _example_sizes(model: Model, function: Function) -> dict[str, int]:
    """Sizes to trace with: distinct and larger than 1 where the constraints allow it."""
    names, count = function.dims, len(EXAMPLE_SIZES)
    for start in range(count):
        for spread in (1, 0):
            chosen = {name: EXAMPLE_SIZES[(start + spread * place) % count] for place, name in enumerate(names)}
            if is_feasible(model, function, chosen):
                return chosen
    found = feasible_sizes(model, function)
    if not found:
        raise BuildError(
            f"torch cannot export: no sizes of {', '.join(names)} were found that fit the model's constraints."
        )
    return max(found, key=lambda sizes: min(sizes.values()))


def _dynamic_shapes(function: Function) -> Iterator[Any]:
    """What torch is told about the inputs' sizes: the model's names first; where it objects, only that they vary."""
    named = {symbol: torch.export.Dim(_dim_name(symbol, place), min=1) for place, symbol in enumerate(function.dims)}
    if not named:
        yield None
        return

    def by_name(dim: Dim) -> Any:
        return named.get(str(dim), torch.export.Dim.AUTO)

    marks: tuple[Callable[[Dim], Any], ...] = (
        by_name,
        lambda _: torch.export.Dim.DYNAMIC,
        lambda _: torch.export.Dim.AUTO,
    )
    for mark in marks:
        shapes = [
            {axis: mark(dim) for axis, dim in enumerate(type.shape) if isinstance(dim, DimExpr)}
            for type in function.input_types.values()
        ]
        tree = nested(function, shapes)
        yield tree if _has_signature(function) else (tree,)


def _dim_name(symbol: str, place: int) -> str:
    """The model's own name where Python could have it: torch makes code of it."""
    plain = symbol.isascii() and symbol.isidentifier() and not keyword.iskeyword(symbol)
    return symbol if plain and not symbol.startswith("_") else f"dim{place}"


def _has_signature(function: Function) -> bool:
    arguments = ["self", *(name.partition(".")[0] for name in function.input_names)]
    return all(name.isidentifier() for name in arguments) and "self" not in arguments[1:]


def nested(function: Function, leaves: Sequence[Any]) -> tuple[Any, ...]:
    """One value per argument: inputs whose names have dots as nested tuples and dicts."""
    tree: dict[str, Any] = {}
    for name, leaf in zip(function.input_names, leaves, strict=True):
        *path, last = name.split(".")
        place = tree
        for component in path:
            place = place.setdefault(component, _Branch())
        place[last] = leaf
    return tuple(_settled(value) for value in tree.values())


class _Branch(dict[str, Any]):
    """An inner node of the argument tree; leaves may be dicts themselves."""


def _settled(value: Any) -> Any:
    if not isinstance(value, _Branch):
        return value
    settled = {key: _settled(item) for key, item in value.items()}
    return tuple(settled.values()) if list(settled) == [str(i) for i in range(len(settled))] else settled


def _check_sizes(name: str, function: Function, program: torch.export.ExportedProgram) -> None:
    """Every size that is symbolic in the model is so in the program."""
    user_inputs = set(program.graph_signature.user_inputs)
    values = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in user_inputs]
    for (input_name, type), value in zip(function.input_types.items(), values, strict=True):
        fixed = [axis for axis, dim in enumerate(type.shape) if symbols(dim) and is_fixed(value.shape[axis])]
        if fixed:
            raise BuildError(
                f"torch.export fixed axis {fixed[0]} of input {input_name!r} of {name!r} at {value.shape[fixed[0]]}, "
                f"which is {type.shape[fixed[0]]} in the model. Save it as .kx or .onnx instead."
            )


def is_fixed(size: Any) -> bool:
    """Whether a traced size is one number."""
    return isinstance(size, int) or not expression_of(size).free_symbols
