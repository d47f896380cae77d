"""The place: the first node at which a backend, or another model, parts from the float64 reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kxchange.graph import Node, Value
from kxchange.validation.align import pair_by_position, same_structure
from kxchange.validation.alone import try_alone
from kxchange.validation.measure import distance
from kxchange.validation.place import Place, Statistics
from kxchange.validation.probe import chunks, fetch_values, observable, read_values
from kxchange.validation.search import Candidate, Search, describe, fetch_own, parts
from kxchange.validation.truth import widen
from kxchange.validation.unmatched import find_unmatched

TRIES = 16
"""Nodes run by themselves before the first one that differs is reported without a culprit."""


def find_place(search: Search) -> Place | None:
    """The first node that is wrong, else the first value that differs; None if none does.

    Every floating, integer and boolean value inside is compared end to end. The nodes of those that differ are then
    run by themselves on the right operands, in topological order: the first that is wrong by itself is the culprit;
    one that is right by itself only hands on, or magnifies, what its operands bring.
    """
    first, second = search.right.function(search.function), search.other.function(search.function)
    if not same_structure(first, second):
        return find_unmatched(search)
    pairs = pair_by_position(first.graph, second.graph)
    found = differing(search, pairs)
    if not found:
        return find_hidden(search, pairs)
    first_tried: Place | None = None
    for candidate in in_order(found)[:TRIES]:
        place = try_alone(search, candidate, pairs[candidate.value.node])
        if place.culprit:
            return place
        first_tried = first_tried or place
    return first_tried


def in_order(found: Sequence[Candidate]) -> list[Candidate]:
    """One candidate per node: those whose operands are all right, then the rest, each in topological order."""
    differ = {candidate.value for candidate in found}
    nodes = list({candidate.value.node: candidate for candidate in reversed(found)}.values())[::-1]
    return sorted(nodes, key=lambda c: any(value in differ for value in c.value.node.inputs))


def differing(search: Search, pairs: Mapping[Node, Node]) -> list[Candidate]:
    """The values that differ by more than the limit, in topological order."""
    graph = search.right.function(search.function).graph
    inputs = widen(search.inputs)
    found: list[Candidate] = []
    for group in chunks(observable(graph), search.sizes):
        others = [Value(pairs[value.node], value.index) for value in group]
        right = read_values(search.right, search.function, group, inputs)
        values = fetch_values(search.prepare, search.other, search.function, others, search.inputs)
        own = values if search.wide else fetch_own(search, others)
        for value, other, truth, array, native in zip(group, others, right, values, own, strict=True):
            if truth is not None and array is not None and parts(array, truth, native, search):
                gap = distance(array, truth)
                found.append(Candidate(value, other, gap, Statistics.of(truth), Statistics.of(array)))
    return found


def find_hidden(search: Search, pairs: Mapping[Node, Node]) -> Place | None:
    """The first wrong value where making all of them outputs makes the failure go away (fusion): by halving.

    Takes one run per halving, and that a value behind a wrong one is wrong.
    """
    function = search.right.function(search.function)
    values = observable(function.graph)
    low, high, last = 0, len(values) - 1, None
    while low <= high:
        middle = (low + high) // 2
        candidate = single(search, values[middle], pairs)
        if candidate is None:
            low = middle + 1
        else:
            last, high = candidate, middle - 1
    if last is None:
        return None
    place = describe(search, last)
    place.note = "shows only while other inner values are no outputs: a fault of fusion"
    return place


def single(search: Search, value: Value, pairs: Mapping[Node, Node]) -> Candidate | None:
    """One value marked by itself, if it differs."""
    other = Value(pairs[value.node], value.index)
    truth = read_values(search.right, search.function, [value], widen(search.inputs))[0]
    array = fetch_values(search.prepare, search.other, search.function, [other], search.inputs)[0]
    own = array if search.wide else fetch_own(search, [other])[0]
    if truth is None or array is None or not parts(array, truth, own, search):
        return None
    return Candidate(value, other, distance(array, truth), Statistics.of(truth), Statistics.of(array))


def error_by_depth(search: Search) -> list[float]:
    """Relative error of every floating value inside, in topological order; what is not finite counts as 1."""
    entry = search.right.function(search.function)
    pairs = pair_by_position(entry.graph, search.other.function(search.function).graph)
    errors: list[float] = []
    for group in chunks([v for v in observable(entry.graph) if v.type.dtype.is_floating], search.sizes):
        others = [Value(pairs[value.node], value.index) for value in group]
        right = read_values(search.right, search.function, group, widen(search.inputs))
        found = fetch_values(search.prepare, search.other, search.function, others, search.inputs)
        gaps = [distance(b, a) for a, b in zip(right, found, strict=True) if a is not None and b is not None]
        errors += [1.0 if gap.structure or gap.masks else min(gap.relative, 1.0) for gap in gaps]
    return errors
