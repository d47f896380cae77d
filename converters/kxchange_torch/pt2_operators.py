"""Which operators a `.pt2` file may name: those of the lifting table, and those torch dissolves into them."""

from __future__ import annotations

import math
import operator
from functools import cache
from typing import Any

import torch

from kxchange_torch import lift_rules  # noqa: F401 - fills the table
from kxchange_torch.lift import lift
from kxchange_torch.private import decompositions, is_composite

FUNCTIONS = {"operator": operator, "math": math, "torch": torch}
HIGHER_ORDER = ("cond", "while_loop", "scan", "map_impl", "associative_scan", "invoke_subgraph")
"""Operators over sub-graphs, and of them those that have a lifting rule."""


@cache
def functions() -> dict[str, Any]:
    """Functions of sizes and higher-order operators, by the name that a file has for them."""
    found: dict[str, Any] = {"_operator.getitem": operator.getitem}
    for name in lift.entries:
        module, _, function = name.partition(".")
        if module in FUNCTIONS and hasattr(FUNCTIONS[module], function):
            found["_operator." + function if module == "operator" else name] = getattr(FUNCTIONS[module], function)
    names = (*HIGHER_ORDER, "wrap_with_set_grad_enabled", "wrap_with_autocast")
    for name in names:
        if name in lift.entries and hasattr(torch.ops.higher_order, name):
            found[f"torch.ops.higher_order.{name}"] = getattr(torch.ops.higher_order, name)
    return found


def operator_of(target: Any) -> Any:
    """The function that a file means by `target`; None for one that is not on the list.

    The list is made from our table and torch's registry. Nothing is imported, and no path in the name is followed.
    """
    if not isinstance(target, str):
        return None
    known = functions().get(target)
    if known is not None:
        return known
    prefix, _, name = target.partition("torch.ops.")
    if prefix or name.count(".") != 2:
        return None
    return _overload(*name.split("."))


@cache
def _registered() -> frozenset[str]:
    """Every ATen operator of this torch, as ``aten::add.Tensor``."""
    return frozenset(
        str(schema.name) + ("." + schema.overload_name if schema.overload_name else "")
        for schema in torch._C._jit_get_all_schemas()
        if schema.name.startswith(("aten::", "prims::"))
    )


@cache
def _overload(namespace: str, name: str, overload: str) -> Any:
    registered = f"{namespace}::{name}" + ("" if overload == "default" else f".{overload}")
    if registered not in _registered():
        return None
    found = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    twin = f"{namespace}.{name.removesuffix('_')}.{overload}"
    in_table = f"{namespace}.{name}.{overload}" in lift.entries or twin in lift.entries
    return found if in_table or is_composite(found) or decompositions([found]) else None
