"""Gates put into another order on the way: the weights as they were, with the order that they have themselves."""

from __future__ import annotations

from collections.abc import Sequence

from kxchange.graph import Value


def own_order(operands: Sequence[Value | None], order: str) -> tuple[list[Value | None], str]:
    """Weights and biases whose blocks stand as `order` says, or what they were made of and how that stands.

    Where every operand is its source's blocks (a split) in one other order (a concat), the sources are taken.
    """
    sources: list[Value | None] = []
    found: tuple[int, ...] | None = None
    for operand in operands:
        if operand is None or operand.node.op == "full":
            sources.append(operand)
            continue
        moved = _moved_blocks(operand, len(order))
        if moved is None or (found is not None and moved[1] != found):
            return list(operands), order
        source, found = moved
        sources.append(source)
    if found is None:
        return list(operands), order
    stands = dict(zip(found, order, strict=True))
    return sources, "".join(stands[block] for block in range(len(order)))


def _moved_blocks(value: Value, count: int) -> tuple[Value, tuple[int, ...]] | None:
    """The tensor whose equal blocks of axis 0 make up `value`, and which block stands where."""
    node = value.node
    if node.op != "concat" or node.attrs["axis"] not in (0, -value.ndim) or len(node.inputs) != count:
        return None
    parts = [part for part in node.inputs if part is not None]
    split = parts[0].node
    if (
        split.op != "split"
        or any(part.node is not split for part in parts)
        or split.attrs["axis"] not in (0, -value.ndim)
    ):
        return None
    places = tuple(part.index for part in parts)
    source = split.inputs[0]
    whole = sorted(places) == list(range(count)) and len(set(split.attrs["sizes"])) == 1
    return (source, places) if whole and source is not None and len(split.types) == count else None


def halves(bias: Value) -> list[Value | None] | None:
    """Input and hidden bias of [1, 2 * gates * hidden] where they were put together from the two; zeros are absent."""
    node = bias.node
    if node.op != "concat" or node.attrs["axis"] not in (1, -1) or len(node.inputs) != 2:
        return None
    first, second = node.inputs
    if first is None or second is None or first.shape != second.shape:
        return None
    return [None if _is_zero(half) else half for half in (first, second)]


def _is_zero(value: Value) -> bool:
    while value.node.op in ("expand_dims", "reshape") and value.node.inputs[0] is not None:
        value = value.node.inputs[0]
    return value.node.op == "full" and value.node.attrs["value"] == 0
