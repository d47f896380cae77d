"""Training steps: each backend's own gradients through one and the same optimizer, and the parameters that come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kxchange.errors import InputError
from kxchange.model import Array, Model
from kxchange.validation.gradients import difference, norm
from kxchange.validation.job import COTANGENT, TRAINING, Result
from kxchange.validation.report import Row
from kxchange.validation.verdict import Verdict

TRAINING_LIMIT = 1e-8
"""Largest difference of a parameter's change, in units of the largest change of any parameter."""
RATE, BETA1, BETA2, EPSILON, DECAY = 1e-2, 0.9, 0.999, 1e-8, 1e-2
Update = Callable[[Array, Array, int, dict[str, Array]], Array]

DIFFERENCES = {
    "sgd": "",
    "adam": (
        "epsilon is added to the corrected root here, as PyTorch and optax do; Keras adds it before the correction "
        "(epsilon-hat), so equal numbers train differently there, by 4e-4 after 100 steps in one measurement"
    ),
    "adamw": (
        "decay is decoupled and 1e-2 here, PyTorch's default; optax defaults to 1e-4; Keras adds epsilon before the "
        "bias correction"
    ),
}
"""What the frameworks' own optimizers of these names do differently."""


def sgd(parameter: Array, gradient: Array, step: int, state: dict[str, Array]) -> Array:
    """Plain gradient descent."""
    return parameter - RATE * gradient


def adam(parameter: Array, gradient: Array, step: int, state: dict[str, Array]) -> Array:
    """Adam with both corrections; epsilon is added outside the root."""
    state["m"] = BETA1 * state.get("m", np.zeros_like(gradient)) + (1 - BETA1) * gradient
    state["v"] = BETA2 * state.get("v", np.zeros_like(gradient)) + (1 - BETA2) * gradient**2
    mean, square = state["m"] / (1 - BETA1**step), state["v"] / (1 - BETA2**step)
    return parameter - RATE * mean / (np.sqrt(square) + EPSILON)


def adamw(parameter: Array, gradient: Array, step: int, state: dict[str, Array]) -> Array:
    """Adam after a decay of the parameter itself."""
    return adam(parameter * (1 - RATE * DECAY), gradient, step, state)


OPTIMIZERS: dict[str, Update] = {"sgd": sgd, "adam": adam, "adamw": adamw}


def optimizer_of(name: str) -> Update:
    """The update rule of a name.

    Raises:
        InputError: there is none.
    """
    if name not in OPTIMIZERS:
        raise InputError(f"there is no optimizer {name!r}; there are {', '.join(OPTIMIZERS)}.")
    return OPTIMIZERS[name]


def train(
    model: Model, gradients: Callable[[Model], Callable[..., dict[str, Array]]], optimizer: str, steps: int
) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """``case -> parameters after the steps``: the loss is the sum of the outputs times the case's cotangents.

    Args:
        model: In float64.
        gradients: Builds a backend's vector-Jacobian products of a model.
        optimizer: Name of an update rule.
        steps: How many.
    """
    update = optimizer_of(optimizer)

    def run(case: Mapping[str, Array]) -> dict[str, Array]:
        inputs = {name: array for name, array in case.items() if not name.startswith(COTANGENT)}
        given = {name.removeprefix(COTANGENT): case[name] for name in case if name.startswith(COTANGENT)}
        current = {name: entry.array for name, entry in model.parameters.items() if entry.alias_of is None}
        states: dict[str, dict[str, Array]] = {name: {} for name in current}
        trained: set[str] = set()
        for step in range(1, steps + 1):
            entries = [
                entry.replace(data=current[name]) if name in current else entry
                for name, entry in model.parameters.items()
            ]
            found = gradients(model.replace(parameters=entries))(inputs, given)
            for key, gradient in found.items():
                kind, _, name = key.partition(" ")
                if kind == "parameter" and model.parameters[name].trainable:
                    current[name] = update(current[name], gradient, step, states[name])
                    trained.add(name)
        return {f"parameter {name}": array for name, array in current.items() if name in trained}

    return run


def judge_training(
    rows: Sequence[Row], results: Mapping[str, Result], model: Model, settings: Mapping[str, Any]
) -> None:
    """Compare what training made of the parameters, each backend with every other one.

    Two that agree are SAME. One that agrees with none, or has none to compare with, is SUSPECT or UNVERIFIED: there is
    no third way to train.
    """
    found: dict[str, Mapping[str, Array]] = {}
    for row in rows:
        outcome = results[row.backend].outcomes.get(TRAINING) if row.backend in results else None
        if outcome is not None:
            row.training = Verdict.UNVERIFIED
            row.notes += [f"training: unverified, {outcome.error}"] if outcome.error else []
            if outcome.outputs:
                found[row.backend] = outcome.outputs[0]
    start = {f"parameter {name}": model.array(name).astype(np.float64) for name in model.parameters}
    remark = DIFFERENCES[str(settings["optimizer"])]
    for row in rows:
        if row.backend not in found:
            continue
        gaps = {
            other: compare_changes(found[row.backend], found[other], start) for other in found if other != row.backend
        }
        if gaps:
            row.training = Verdict.SUSPECT if all(gaps.values()) else Verdict.SAME
        row.notes += [f"training: {other} ends elsewhere: {text}" for other, text in gaps.items() if text]
        row.notes += [] if gaps else ["training: no other backend trains"]
        row.notes += [f"training: {remark}"] if remark else []


def compare_changes(own: Mapping[str, Array], other: Mapping[str, Array], start: Mapping[str, Array]) -> str:
    """The parameter whose change differs most, in words; empty if all agree."""
    shared = [name for name in own if name in other]
    if not shared:
        return "no parameter is trained by both"
    scale = max(norm(own[name] - start[name]) for name in shared) or 1.0
    worst, name = max((difference(own[name], other[name]) / scale, name) for name in shared)
    return "" if worst <= TRAINING_LIMIT else f"{name!r} differs by {worst:.1e} of the largest change (limit 1e-8)"
