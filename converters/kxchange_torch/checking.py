"""Verification of a module before it is handed out: its names, and what it gives at two sizes."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch

from kxchange.dims import evaluate, symbols
from kxchange.errors import BuildError
from kxchange.graph import Graph
from kxchange.model import Function, Model, Role
from kxchange.spec import as_tuple
from kxchange.types import TensorType
from kxchange.validation.cases import feasible_sizes
from kxchange_torch.dtypes import torch_dtype
from kxchange_torch.module import BuiltModule, Entry

QUICK = 200_000_000
"""Elements, of weights and of results together, that a trial run may touch."""


def check_module(model: Model, module: BuiltModule, functions: Mapping[str, Function]) -> None:
    """Compare a built module with its model.

    Raises:
        BuildError: Names differ, or a function gives other shapes or dtypes than inference says.
    """
    check_names(model, module)
    for name, function in functions.items():
        for sizes in feasible_sizes(model, function)[:2]:
            check_types(module, name, function, sizes)


def check_names(model: Model, module: BuiltModule) -> None:
    """The module's state has the model's names (as mangled), all of them, shapes and dtypes included."""
    layouts = module.kx_layouts
    kept = {name: entry.type for name, entry in model.parameters.items() if entry.role is not Role.CONSTANT}
    entries = {layouts[name].name: layouts[name].type_there(type) for name, type in kept.items()}
    state = {name: (tuple(t.shape), t.dtype) for name, t in module.state_dict().items()}
    wanted = {name: (type.shape, torch_dtype(type.dtype)) for name, type in entries.items()}
    if state != wanted:
        differing = sorted(name for name in state.keys() | wanted.keys() if state.get(name) != wanted.get(name))
        raise BuildError(f"the built module's state differs from the model's parameters at {differing[:5]}.")


def check_types(module: BuiltModule, name: str, function: Function, sizes: Mapping[str, int]) -> None:
    """Run a function on zeros and compare every output's shape and dtype with the inferred ones.

    Functions that would take long, or for which the CPU has no kernels, run on torch's meta device: shape and dtype
    rules without arithmetic. Loops whose end the data decides are not run: on zeros they may have none.
    """
    if may_not_end(function.graph):
        return
    entry, problems = module._kx.entries[name], list[str]()
    for device in ("cpu", "meta") if is_quick(module, function, sizes) else ("meta", "cpu"):
        try:
            outputs = _run(module, entry, function, sizes, device)
        except (NotImplementedError, RuntimeError, IndexError, TypeError, ValueError) as error:
            problems.append(f"{type(error).__name__}: {error}")
        else:
            for output, type_, tensor in zip(
                function.output_names, function.output_types.values(), outputs, strict=True
            ):
                _compare(name, output, type_, tensor, sizes)
            return
    where = dict(sizes) or "its fixed sizes"
    raise BuildError(f"torch cannot run the built function {name!r} at {where}: {problems[0]}")


def may_not_end(graph: Graph) -> bool:
    """Whether the graph, or a graph inside it, holds a loop that runs for as long as a condition holds."""
    inner = [value for node in graph.nodes() for attr in node.attrs.values() for value in as_tuple(attr)]
    return any(node.op == "while_loop" for node in graph.nodes()) or any(
        may_not_end(value) for value in inner if isinstance(value, Graph)
    )


def is_quick(module: BuiltModule, function: Function, sizes: Mapping[str, int]) -> bool:
    """Whether a run at these sizes touches few enough elements."""
    touched = sum(parameter.numel() for parameter in module.parameters())
    for node in function.graph.nodes():
        for type in node.types:
            if all(symbols(dim) <= sizes.keys() for dim in type.shape):
                touched += prod(evaluate(dim, sizes) for dim in type.shape)
    return touched <= QUICK


def _compare(name: str, output: str, type: TensorType, tensor: torch.Tensor, sizes: Mapping[str, int]) -> None:
    known = all(symbols(dim) <= sizes.keys() for dim in type.shape)
    shape = tuple(evaluate(dim, sizes) for dim in type.shape) if known else tuple(tensor.shape)
    if tuple(tensor.shape) != shape or tensor.dtype != torch_dtype(type.dtype):
        raise BuildError(
            f"the built function {name!r} gives output {output!r} as {tensor.dtype}{list(tensor.shape)} at "
            f"{dict(sizes)}, where {type} is inferred. This is an error in kxchange_torch; please report it."
        )


def _run(
    module: BuiltModule, entry: Entry, function: Function, sizes: Mapping[str, int], device: str
) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        inputs = [
            torch.zeros(tuple(evaluate(d, sizes) for d in type.shape), dtype=torch_dtype(type.dtype), device=device)
            for type in function.input_types.values()
        ]
        modules = module._kx.tree.walk(module)
        captured = [module._kx_captured(modules, capture) for capture in entry.captures]
        moved = [c.to(device) if isinstance(c, torch.Tensor) else c for c in captured]
        return entry.program.function(*inputs, *moved)
