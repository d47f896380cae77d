"""Matrices that are singular to working precision: what a solver makes of one is each backend's own affair.

NumPy's reference gives NaN or large numbers, JAX a mixture of infinities and NaN, torch raises an error; none is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kxchange.graph import Graph, Node, interpret
from kxchange.model import Array
from kxchange.reference import bind_inputs, evaluate_node

SOLVERS = frozenset({"inv", "solve", "solve_triangular", "cholesky", "slogdet", "det"})
"""Ops whose first operand is a stack of matrices that should be regular."""
SINGULAR = 0.1
"""Condition times roundoff from which on no digit of a solution is right."""


def find_singular(graph: Graph, inputs: Sequence[Array], parameters: Mapping[str, Array], unit: float) -> str:
    """The first matrix that rounding by `unit` makes singular, in words; empty if there is none.

    Args:
        graph: In float64.
        inputs: One array per graph input.
        parameters: Arrays by name.
        unit: Roundoff of the type in question.
    """
    if not any(node.op in SOLVERS for node in graph.nodes()):
        return ""
    known = bind_inputs(graph, inputs, {})
    found: list[str] = []

    def apply(node: Node, operands: list[Any]) -> Sequence[Array]:
        if node.op == "parameter":
            return (parameters[str(node.attrs["name"])],)
        if node.op in SOLVERS and not found:
            worst = condition(node, operands[0])
            if worst * unit >= SINGULAR:
                found.append(
                    f"{node.where} gets a matrix that is singular to working precision (condition {worst:.0e})"
                )
        return evaluate_node(node, operands, known)

    interpret(graph, inputs, apply, release=True)
    return found[0] if found else ""


def condition(node: Node, matrices: Array) -> float:
    """The largest condition number of a stack; 1 where there is no finite matrix."""
    finite = matrices[np.isfinite(matrices).all(axis=(-2, -1))]
    if node.op == "solve_triangular":
        finite = np.triu(finite) if node.attrs["upper"] else np.tril(finite)
        if node.attrs["unit_diagonal"]:
            finite = finite * (1 - np.eye(finite.shape[-1])) + np.eye(finite.shape[-1])
    with np.errstate(all="ignore"):
        return float(np.max(np.linalg.cond(finite), initial=1.0)) if finite.size else 1.0
