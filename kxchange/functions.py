"""Several models over the same parameters as one model with several functions: `prefill` and `decode`, `encode` ..."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kxchange.constraints import Constraint
from kxchange.errors import InputError
from kxchange.format.names import shown
from kxchange.graph import Graph, Node, Value, parameter, rewrite
from kxchange.model import Function, Model, Parameter, Role
from kxchange.passes.bodies import has_bodies, map_bodies
from kxchange.spec import keep


def join(models: Mapping[str, Model]) -> Model:
    """One model with the main function of each of `models`, under the key as its name; parameters are shared.

    Parameters of one name must be the same tensor in all. Constants need not: those that differ get names of their own.
    Symbols of one name stay one dim, and what one function requires of it holds for all.

    Args:
        models: The functions by name, in order; the first is the default.

    Raises:
        InputError: There is none, or two hold different values under one name.
    """
    parameters: dict[str, Parameter] = {}
    functions: dict[str, Function] = {}
    constraints: list[Constraint] = []
    for name, model in models.items():
        renamed = _add(parameters, model, name)
        main = model.main
        functions[name] = main.with_graph(_rename(main.graph, renamed)) if renamed else main
        constraints += [c for c in model.constraints if not any(c.says_same(known) for known in constraints)]
    if not functions:
        raise InputError("join needs at least one model.")
    first = next(iter(models.values()))
    return Model(
        functions, parameters, constraints=constraints, metadata=first.metadata, provenance=dict(first.provenance)
    )


def _add(parameters: dict[str, Parameter], model: Model, function: str) -> dict[str, str]:
    """Add a model's parameters; gives the new names of its constants, where they have to change."""
    renamed: dict[str, str] = {}
    for name, entry in model.parameters.items():
        known = parameters.get(name)
        if known is None:
            parameters[name] = entry
        elif not _same(known, entry):
            if entry.role is not Role.CONSTANT or known.role is not Role.CONSTANT or entry.alias_of or known.alias_of:
                raise InputError(
                    f"join cannot make one model of functions with different tensors called {shown(name)}: "
                    f"{known.type} and {entry.type}. Capture them from one module."
                )
            fresh = f"{name}.{function}"
            while fresh in parameters or fresh in model.parameters:
                fresh += "_"
            renamed[name] = fresh
            parameters[fresh] = entry.replace(name=fresh)
    return renamed


def _same(left: Parameter, right: Parameter) -> bool:
    """Whether two records are one tensor: the same memory, or the same bytes."""
    if (left.type, left.role, left.alias_of) != (right.type, right.role, right.alias_of):
        return False
    if left is right or left.alias_of is not None:
        return True
    ours, theirs = left.array, right.array
    same_place = ours.__array_interface__["data"] == theirs.__array_interface__["data"]
    return (same_place and ours.strides == theirs.strides) or ours.tobytes() == theirs.tobytes()


def _rename(graph: Graph, names: Mapping[str, str]) -> Graph:
    def change(node: Node, operands: tuple[Value | None, ...]) -> Sequence[Value]:
        if node.op == "parameter" and node.attrs["name"] in names:
            return (parameter(names[str(node.attrs["name"])], node.types[0]),)
        return keep(map_bodies(node, lambda body: _rename(body, names)) if has_bodies(node) else node, operands)

    return rewrite(graph, change)
