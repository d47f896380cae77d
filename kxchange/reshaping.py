"""The shape that `reshape` gives, from its argument and the count of elements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kxchange.constraints import require_divides, require_equal
from kxchange.dim_exact import cancel, common_factor
from kxchange.dims import Call, Dim, DimExpr
from kxchange.errors import TypeInferenceError


def product(dims: Iterable[Dim]) -> Dim:
    """Product of the dims; 1 for none."""
    result: Dim = 1
    for dim in dims:
        result = result * dim
    return result


def reshape_shape(shape: Sequence[Dim], requested: Sequence[Dim]) -> tuple[Dim, ...]:
    """The requested shape with its one ``-1`` computed; dims are taken from the request, never guessed.

    Raises:
        TypeInferenceError: The counts of elements differ, or more than one size is -1 or below.
    """
    open_axes = [axis for axis, dim in enumerate(requested) if isinstance(dim, int) and dim < 0]
    if len(open_axes) > 1 or any(requested[axis] != -1 for axis in open_axes):
        raise TypeInferenceError(f"reshape to {_show(requested)} has more than one -1 or another negative size.")
    left, right = _without_shared(shape, [dim for dim in requested if dim != -1])
    reason = f"reshape from {_show(shape)} to {_show(requested)}"
    if open_axes:
        return tuple(_open_size(left, right, reason) if dim == -1 else dim for dim in requested)
    left, right = _without_windows(left, right, reason)
    require_equal(*_without_common_factor(product(left), product(right)), reason)
    return tuple(requested)


def _show(dims: Sequence[Dim]) -> str:
    return f"({', '.join(map(str, dims))})"


def _open_size(left: Sequence[Dim], right: Sequence[Dim], reason: str) -> Dim:
    total, known = product(left), product(right)
    if known == 0:
        raise TypeInferenceError(f"{reason}: -1 is undetermined beside a size of 0.")
    return require_divides(known, total, reason)


def _without_shared(left: Sequence[Dim], right: Sequence[Dim]) -> tuple[list[Dim], list[Dim]]:
    """Both lists without the sizes they share: an equal factor (a batch of 0 too) needs no equation."""
    kept: list[Dim] = []
    rest = list(right)
    for dim in left:
        if dim != 0 and dim in rest:
            rest.remove(dim)
        else:
            kept.append(dim)
    return kept, rest


def _without_windows(left: list[Dim], right: list[Dim], reason: str) -> tuple[list[Dim], list[Dim]]:
    """Split ``s, ... -> s//4, 4, ...`` off as its own divisibility, which is what the one long product would mean."""
    for dim in list(right):
        atom = dim.lone_atom() if isinstance(dim, DimExpr) else None
        if not isinstance(atom, Call) or atom.kind != "floordiv":
            continue
        whole, part = atom.operands
        if whole in left and part in right:
            require_divides(part, whole, reason)
            left.remove(whole)
            right.remove(dim)
            right.remove(part)
    return left, right


def _without_common_factor(left: Dim, right: Dim) -> tuple[Dim, Dim]:
    if isinstance(left, int) and isinstance(right, int):
        return left, right
    monomial, factor = common_factor(left, right)
    return cancel(left, monomial, factor), cancel(right, monomial, factor)
