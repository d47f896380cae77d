"""One node by itself on the right operands: the culprit, or only one that hands on what it got."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kxchange.errors import KxchangeError
from kxchange.graph import LEAVES, Node
from kxchange.model import Array, Model
from kxchange.validation.measure import Distance, distance, is_exact
from kxchange.validation.noise import evaluate_noisy, open_tails
from kxchange.validation.place import Place, Repro
from kxchange.validation.probe import lone_inputs, lone_node, read_values
from kxchange.validation.search import Candidate, Search, describe
from kxchange.validation.truth import widen
from kxchange.validation.verdict import FLOAT64_LIMIT, RATIO_WRONG


def try_alone(search: Search, candidate: Candidate, other: Node) -> Place:
    """The node of a value, run by itself on the right operands.

    Args:
        search: The two sides.
        candidate: The value.
        other: Its node on the other side.
    """
    place = describe(search, candidate)
    operands = right_operands(search, candidate.value.node)
    right = lone_node(search.right, candidate.value.node, operands, search.sizes)
    found = lone_node(search.other, other, operands, search.sizes)
    if right is None or found is None:
        return place
    inputs = lone_inputs(other, operands)
    try:
        outputs, own = search.prepare(found)(inputs), search.reference(found)(inputs)
        truth = run_reference(right, widen(inputs))
    except Exception as error:  # a backend may raise anything
        place.note = f"the node by itself: {error}"
        return place
    gaps = {name: distance(outputs[name], array) for name, array in truth.items()}
    allowed = allowances(search, right, widen(inputs), truth, own)
    place.local_error = max(gap.relative for gap in gaps.values())
    place.culprit = any(is_wrong(gap, allowed[name], is_exact(truth[name])) for name, gap in gaps.items())
    place.repro = Repro(found if search.same else right, None if search.same else found, inputs, truth, dict(outputs))
    return place


def right_operands(search: Search, node: Node) -> list[Array | None]:
    """What goes into a node on the reference."""
    inputs = widen(search.inputs)
    values = [value for value in node.inputs if value is not None and value.node.op not in LEAVES]
    known = dict(zip(values, read_values(search.right, search.function, values, inputs), strict=True))
    for value in node.inputs:
        if value is not None and value.node.op in LEAVES:
            name = str(value.node.attrs["name"])
            known[value] = inputs[name] if value.node.op == "input" else search.right.array(name)
    return [None if value is None else known[value] for value in node.inputs]


def run_reference(model: Model, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """A model on NumPy."""
    entry = model.main
    found = read_values(model, None, entry.graph.outputs, inputs)
    return {name: array for name, array in zip(entry.output_names, found, strict=True) if array is not None}


def run_noisy(model: Model, inputs: Mapping[str, Array], unit: float) -> dict[str, Array]:
    """What a kernel that rounds by `unit` may make of a float64 model, in the tails of its ops too."""
    entry, rng = model.main, np.random.default_rng(0)
    held = {name: model.array(name) for name in model.parameters}
    given = [inputs[name] for name in entry.input_names]
    found = evaluate_noisy(open_tails(entry.graph) or entry.graph, given, held, unit, rng, tails=True)
    return dict(zip(entry.output_names, found, strict=True))


def allowances(
    search: Search,
    model: Model,
    inputs: Mapping[str, Array],
    truth: Mapping[str, Array],
    own: Mapping[str, Array],
) -> dict[str, float]:
    """The error allowed to one node, per output: rounding, what rounded operands do to it, and NumPy's own."""
    try:
        near = run_noisy(model, inputs, search.unit)
    except KxchangeError:
        near = dict(truth)
    base = FLOAT64_LIMIT if search.wide else RATIO_WRONG * search.unit
    found: dict[str, float] = {}
    for name, array in truth.items():
        gap, noise = distance(own[name], array), distance(near[name], array)
        native = 0.0 if search.wide else gap.rmse
        found[name] = max(base * noise.scale, RATIO_WRONG * noise.rmse, RATIO_WRONG * native, search.smallest)
    return found


def is_wrong(gap: Distance, allowed: float, exact: bool) -> bool:
    """Whether a node by itself is off."""
    return bool(gap.structure or gap.masks or (gap.mismatches if exact else gap.rmse > allowed))
