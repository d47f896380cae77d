"""From the shapes of actual inputs to the sizes of a model's dims, with every axis checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kxchange.constraints import Constraint
from kxchange.dims import Dim, DimExpr, evaluate, substitute, symbols
from kxchange.errors import InputError

Expected = Sequence[tuple[str, tuple[Dim, ...]]]
_Axis = tuple[str, int, Dim, int]


def bind_dims(expected: Expected, actual: Sequence[tuple[int, ...]]) -> dict[str, int]:
    """Give every symbol of the inputs' shapes its size.

    A symbol takes the size of the first axis that is that symbol; one that stands only in expressions is solved for
    where the expression is linear in it. Every axis is then checked.

    Args:
        expected: Name and shape of each input, in order.
        actual: Shape of each array, in the same order.

    Returns:
        Size by symbol name.

    Raises:
        InputError: A rank or a size does not fit, or a symbol cannot be solved for.
    """
    if len(expected) != len(actual):
        names = ", ".join(name for name, _ in expected)
        raise InputError(f"The model takes {len(expected)} inputs ({names}), not {len(actual)}.")
    axes = [axis for (name, shape), sizes in zip(expected, actual, strict=True) for axis in _axes(name, shape, sizes)]
    values: dict[str, int] = {}
    origins: dict[str, str] = {}
    for name, axis, dim, size in axes:
        atom = dim.lone_atom() if isinstance(dim, DimExpr) else None
        if isinstance(atom, str) and atom not in values:
            values[atom] = size
            origins[atom] = f"input {name!r} axis {axis}"
    _solve_all(axes, values)
    for axis in axes:
        _check_axis(axis, values, origins)
    return values


def check_constraints(constraints: Iterable[Constraint], values: Mapping[str, int], where: str) -> list[Constraint]:
    """Check what inference had to assume about sizes.

    Args:
        constraints: The model's constraints.
        values: Size by symbol name, as `bind_dims` gives it.
        where: Who needs them, for the message: ``model 'net', function 'main'``.

    Returns:
        The constraints on symbols without a value (sizes that only the data decides), unchecked.

    Raises:
        InputError: One does not hold.
    """
    open_ones: list[Constraint] = []
    for constraint in constraints:
        needed = constraint.symbols
        if not needed <= values.keys():
            open_ones.append(constraint)
        elif not constraint.holds(values):
            sizes = _show_values(needed, values)
            raise InputError(f"{where} cannot run with {sizes}: it needs {constraint}. Pass inputs of other sizes.")
    return open_ones


def _axes(name: str, shape: tuple[Dim, ...], sizes: tuple[int, ...]) -> list[_Axis]:
    if len(shape) != len(sizes):
        wanted, given = ", ".join(map(str, shape)), ", ".join(map(str, sizes))
        raise InputError(
            f"input {name!r} has rank {len(sizes)} and shape ({given}), but rank {len(shape)} and shape ({wanted}) "
            "is expected. Pass an array of that rank."
        )
    return [(name, axis, dim, size) for axis, (dim, size) in enumerate(zip(shape, sizes, strict=True))]


def _solve_all(axes: Sequence[_Axis], values: dict[str, int]) -> None:
    """Solve expressions with one unknown until nothing is left or nothing moves."""
    pending = [axis for axis in axes if not symbols(axis[2]) <= values.keys()]
    while pending:
        blocked = [axis for axis in pending if not _solve(axis, values)]
        if len(blocked) == len(pending):
            name, axis, dim, size = blocked[0]
            unknown = ", ".join(sorted(symbols(dim) - values.keys()))
            raise InputError(
                f"input {name!r} axis {axis} has size {size}, and '{dim}' cannot be solved for {unknown}. "
                f"Declare an input axis that is {unknown} itself."
            )
        pending = [axis for axis in blocked if not symbols(axis[2]) <= values.keys()]


def _solve(axis: _Axis, values: dict[str, int]) -> bool:
    name, index, dim, size = axis
    unknown = sorted(symbols(dim) - values.keys())
    if not unknown:
        return True
    rest = substitute(dim, values)
    if len(unknown) > 1 or isinstance(rest, int) or len(rest.terms) != 1 or rest.terms[0][0] != ((unknown[0], 1),):
        return False
    value, remainder = divmod(size - rest.constant, rest.terms[0][1])
    if remainder or value < 0:
        known = _show_values(symbols(dim) & values.keys(), values)
        raise InputError(
            f"input {name!r} axis {index} has size {size}, but no size {unknown[0]} makes '{dim}' that"
            f"{f' ({known})' if known else ''}. Pass one of a size that fits."
        )
    values[unknown[0]] = value
    return True


def _check_axis(axis: _Axis, values: Mapping[str, int], origins: Mapping[str, str]) -> None:
    name, index, dim, size = axis
    wanted = evaluate(dim, values)
    if wanted == size:
        return
    found = f"input {name!r} axis {index} has size {size}, but"
    advice = "Pass one of that size."
    if isinstance(dim, int):
        raise InputError(f"{found} {wanted} is expected. {advice}")
    known = origins.get(str(dim)) or _show_values(symbols(dim), values)
    raise InputError(f"{found} '{dim}' is {wanted} ({known}). {advice}")


def _show_values(names: Iterable[str], values: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={values[name]}" for name in sorted(names))
