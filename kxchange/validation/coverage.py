"""What the inputs of a validation can see: parameters that matter, outputs that vary, ops that do something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from kxchange.graph import LEAVES, Node, interpret
from kxchange.model import Array
from kxchange.reference import bind_inputs, evaluate, evaluate_node
from kxchange.validation.measure import distance
from kxchange.validation.truth import Truth

WORK = 2**31
"""Parameters are tried one by one while their number times the model's bytes stays below."""
CASES = 3
"""Cases that a parameter's change is looked for in."""
CHANGE = 1e-3
"""Relative size of the change."""
SEEN = 1e-10
"""Relative difference of an output that counts as seen."""
SHOWN = 3


@dataclass(slots=True)
class Coverage:
    """Shares from 0 to 1; None where it would have cost too much.

    Attributes:
        parameters: Share of the parameters whose change shows in some output.
        unseen: Those whose change does not, by name.
        ops: Share of the nodes whose values are not all one number.
        constant_outputs: Outputs that are one number everywhere, in every case.
    """

    parameters: float | None = None
    unseen: list[str] = field(default_factory=list[str])
    ops: float | None = None
    constant_outputs: list[str] = field(default_factory=list[str])

    def warnings(self) -> list[str]:
        """What the reader of a verdict should know."""
        found: list[str] = []
        if self.constant_outputs:
            found.append(
                f"coverage: the outputs {names_of(self.constant_outputs)} are one number in every case: they prove "
                "little. Pass samples of your own."
            )
        if self.unseen:
            found.append(
                f"coverage: {len(self.unseen)} parameters do not matter for any output in these cases: "
                f"{names_of(self.unseen)}; only the weights verdict covers them."
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [
            f"{share:.0%} of the {what}"
            for share, what in ((self.parameters, "parameters"), (self.ops, "ops"))
            if share is not None
        ]
        return f"coverage: the cases exercise {' and '.join(parts)}" if parts else ""


def names_of(names: Sequence[str]) -> str:
    """The first few."""
    return ", ".join(map(repr, names[:SHOWN])) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def measure_coverage(truth: Truth) -> Coverage:
    """Change each parameter a little, in float64 on the reference, and see whether any output changes."""
    found = Coverage(constant_outputs=constant_outputs(truth.outputs), ops=exercised(truth))
    model = truth.wide
    entry = model.function(truth.function_name)
    read = {str(node.attrs["name"]) for node in entry.graph.nodes() if node.op == "parameter"}
    names = [name for name, p in model.parameters.items() if p.alias_of is None and p.type.dtype.is_floating]
    size = sum(model.parameters[name].nbytes for name in names)
    if not names or not truth.cases or len(names) * size * min(CASES, len(truth.cases)) > WORK:
        return found
    tied = {p.alias_of for name, p in model.parameters.items() if p.alias_of and name in read}
    found.unseen = [name for name in names if name not in read | tied or not is_seen(truth, name)]
    found.parameters = 1.0 - len(found.unseen) / len(names)
    return found


def is_seen(truth: Truth, name: str) -> bool:
    """Whether a change of every element of a parameter shows in an output of the first cases."""
    model = truth.wide
    entry = model.function(truth.function_name)
    held = {key: model.array(key) for key in model.parameters}
    array = held[name]
    rng = np.random.default_rng(0)
    scale = float(np.abs(array).max(initial=0.0)) or 1.0
    changed = array + CHANGE * scale * rng.choice([-1.0, 1.0], size=array.shape)
    tied = {key for key, p in model.parameters.items() if name in (key, p.alias_of)}
    for case, right in list(zip(truth.cases, truth.outputs, strict=True))[:CASES]:
        inputs = truth.wide_inputs(case)
        outputs = evaluate(entry.graph, [inputs[n] for n in entry.input_names], held | dict.fromkeys(tied, changed))
        if any(differs(found, right[key]) for key, found in zip(entry.output_names, outputs, strict=True)):
            return True
    return False


def differs(found: Array, right: Array) -> bool:
    """Whether an output is another one."""
    gap = distance(found, right)
    return bool(gap.structure or gap.masks or gap.mismatches or gap.relative > SEEN)


def constant_outputs(outputs: Sequence[Mapping[str, Array]]) -> list[str]:
    """Outputs that are one number everywhere, in every case; scalars of a single case say nothing."""
    names = list(outputs[0]) if outputs else []
    pooled = {name: np.concatenate([case[name].reshape(-1) for case in outputs]) for name in names}
    return [name for name, values in pooled.items() if values.size > 1 and bool(np.all(values == values[0]))]


def exercised(truth: Truth) -> float | None:
    """Share of the computed nodes with several values that are not all one number, in the first case."""
    if not truth.cases:
        return None
    model = truth.wide
    entry = model.function(truth.function_name)
    inputs = truth.wide_inputs(truth.cases[0])
    arrays = [inputs[name] for name in entry.input_names]
    dims = bind_inputs(entry.graph, arrays, {})
    seen: list[bool] = []

    def apply(node: Node, operands: list[Any]) -> Sequence[Array]:
        if node.op == "parameter":
            return (model.array(str(node.attrs["name"])),)
        outputs = evaluate_node(node, operands, dims)
        if node.op not in LEAVES and node.inputs and any(array.size > 1 for array in outputs):
            seen.append(any(array.size > 1 and not bool(np.all(array == array.flat[0])) for array in outputs))
        return outputs

    interpret(entry.graph, arrays, apply, release=True)
    return sum(seen) / len(seen) if seen else None
