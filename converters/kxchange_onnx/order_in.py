"""The order of a graph's nodes: producers first, as ONNX demands and some tools do not write."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import onnx


def ordered(nodes: Sequence[onnx.NodeProto]) -> Sequence[onnx.NodeProto]:
    """The nodes, those that feed others first; as they are where they are so already, or where they form a cycle."""
    makers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    needed = [{makers[name] for name in _read(node) if name in makers} for node in nodes]
    if all(index > max(found, default=-1) for index, found in enumerate(needed)):
        return nodes
    return _sorted(nodes, needed)


def _sorted(nodes: Sequence[onnx.NodeProto], needed: Sequence[set[int]]) -> Sequence[onnx.NodeProto]:
    """Kahn's algorithm; of the nodes that are ready the first in the file."""
    readers: list[list[int]] = [[] for _ in nodes]
    for index, found in enumerate(needed):
        for maker in found:
            readers[maker].append(index)
    waiting = [len(found) for found in needed]
    ready = [index for index, count in enumerate(waiting) if not count]
    result: list[onnx.NodeProto] = []
    while ready:
        index = heapq.heappop(ready)
        result.append(nodes[index])
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    return result if len(result) == len(nodes) else nodes


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """The names that a node reads, its sub-graphs included; no recursion."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield from current.input
        for attribute in current.attribute:
            for graph in (attribute.g, *attribute.graphs):
                pending.extend(graph.node)
                yield from (item.name for item in graph.output)
