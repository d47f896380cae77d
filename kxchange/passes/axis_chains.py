"""Permutations with axes of size 1 coming and going between them, as one permutation and one reshape at most."""

from __future__ import annotations

from collections.abc import Callable

from kxchange.dims import Dim
from kxchange.graph import Node, Value, emitting
from kxchange.ops.manipulation import permute_dims, reshape

LONGEST = 8
"""Nodes in a row that are looked through."""
VIEWS = frozenset({"reshape", "squeeze", "expand_dims"})


def shorter_chain(node: Node, is_free: Callable[[Node], bool]) -> Value | None:
    """What a chain of transposes and unit reshapes that ends in `node` is in fewer nodes; None if it takes as many.

    Args:
        node: The last node of the chain.
        is_free: Whether nothing else reads a node of the chain.
    """
    chain = _chain(node, is_free)
    if len(chain) < 3 or not any(each.op == "permute_dims" for each in chain):
        return None
    base = chain[-1].inputs[0]
    order = None if base is None else _order(chain, base)
    if base is None or order is None:
        return None
    wanted = node.types[0].shape
    axes = _with_ones(order, base.shape, wanted)
    with emitting(node.name, node.source):
        turned = base if axes == tuple(range(base.ndim)) else permute_dims(base, axes=axes)
        result = turned if turned.shape == wanted else reshape(turned, shape=wanted)
    added = (turned is not base) + (result is not turned)
    return result if added < len(chain) and result.type == node.types[0] and not result.node.constraints else None


def _chain(node: Node, is_free: Callable[[Node], bool]) -> list[Node]:
    """The nodes from `node` back to the first that is no part."""
    chain = [node] if _is_part(node) else []
    while chain and len(chain) < LONGEST:
        source = chain[-1].inputs[0]
        if source is None or not _is_part(source.node) or not is_free(source.node):
            break
        chain.append(source.node)
    return chain


def _is_part(node: Node) -> bool:
    """Whether a node moves axes, or makes and drops axes of size 1."""
    if node.constraints or not node.inputs or node.inputs[0] is None:
        return False
    return node.op == "permute_dims" or (node.op in VIEWS and _long(node.inputs[0].shape) == _long(node.types[0].shape))


def _long(shape: tuple[Dim, ...]) -> list[Dim]:
    return [size for size in shape if size != 1]


def _order(chain: list[Node], base: Value) -> list[int]:
    """The axes of `base` longer than 1 in the order in which they come out."""
    order = [axis for axis, size in enumerate(base.shape) if size != 1]
    for node in reversed(chain):
        if node.op == "permute_dims" and node.inputs[0] is not None:
            shape = node.inputs[0].shape
            places = [axis for axis, size in enumerate(shape) if size != 1]
            axes: tuple[int, ...] = node.attrs["axes"]
            order = [order[places.index(axis % len(shape))] for axis in axes if shape[axis] != 1]
    return order


def _with_ones(order: list[int], shape: tuple[Dim, ...], wanted: tuple[Dim, ...]) -> tuple[int, ...]:
    """A permutation with the long axes in `order`; those of size 1 where they are wanted, if there are as many."""
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    if len(shape) != len(wanted):
        if order == sorted(order):
            return tuple(range(len(shape)))
        return (*order, *ones)
    rest, free = iter(order), iter(ones)
    return tuple(next(free) if size == 1 else next(rest) for size in wanted)
