"""Names for the inputs and dims of a program that was exported elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from kxchange.dims import symbol
from kxchange_torch.dim_map import DimMap, example_size, static_size
from kxchange_torch.dims_in import BATCH, DimPlan, plan_dims
from kxchange_torch.inputs_in import Examples, Leaf, name_leaves
from kxchange_torch.private import expression_of, forward_argument_names, unflatten


def plan_program(program: ExportedProgram, dynamic: Any) -> tuple[DimPlan, list[str]]:
    """Dims and input names of an exported program; `dynamic` renames its symbolic dims."""
    specs = program.graph_signature.input_specs
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    fakes = [n.meta.get("val") for n, spec in zip(nodes, specs, strict=True) if spec.kind is InputKind.USER_INPUT]
    args, kwargs = unflatten(fakes, program.call_spec.in_spec)
    names = forward_argument_names(program) or []
    roots = {names[i] if i < len(names) else f"input_{i}": tree for i, tree in enumerate(args)} | kwargs
    leaves = name_leaves(roots)
    plan = _own_names(leaves)
    if dynamic is not None:
        plan = _renamed(leaves, plan, dynamic)
    return plan, [leaf.name for leaf in leaves]


def _own_names(leaves: tuple[Leaf, ...]) -> DimPlan:
    """``batch`` for the first symbol that is an axis 0, input and axis for the others."""
    plan = DimPlan()
    dims = DimMap({})
    for leaf in leaves:
        for axis, size in enumerate(leaf.value.shape if leaf.is_tensor else ()):
            if static_size(size) is not None or not expression_of(size).is_Symbol or expression_of(size) in dims.names:
                continue
            name = BATCH if axis == 0 and BATCH not in plan.sizes else f"{leaf.name}_{axis}"
            dims.name(expression_of(size), symbol(name))
            plan.sizes[name] = example_size(size) or 0
    for leaf in leaves:
        if leaf.is_tensor:
            plan.shapes[leaf.name] = tuple(dims.dim(size) for size in leaf.value.shape)
    return plan


def _renamed(leaves: tuple[Leaf, ...], plan: DimPlan, dynamic: Any) -> DimPlan:
    """The user's names where given, on axes that are symbolic in the program."""
    sized = tuple(
        Leaf(leaf.name, torch.empty([example_size(s) or 0 for s in leaf.value.shape], device="meta"))
        if leaf.is_tensor
        else leaf
        for leaf in leaves
    )
    wanted = plan_dims(Examples(None, (), {}, sized), dynamic)  # pyright: ignore[reportArgumentType]
    for name, shape in wanted.shapes.items():
        own = plan.shapes[name]
        named = [w if not isinstance(o, int) and not isinstance(w, int) else o for w, o in zip(shape, own, strict=True)]
        plan.shapes[name] = tuple(named)
    plan.sizes |= wanted.sizes
    return plan
