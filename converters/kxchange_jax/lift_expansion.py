"""Lifting of primitives that JAX itself writes in others: random numbers with explicit keys, some special functions.

A random key is the words of its state, so that what is drawn is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kxchange.graph import Value
from kxchange_jax import private
from kxchange_jax.lift import SCOPE, lift


@lift.rule("random_wrap", "random_unwrap", "random_clone")
def _(keys: Value, **_: Any) -> Value:
    return keys


def _expansion(make: Callable[[Any], Callable[..., Any]]) -> Callable[..., Any]:
    """The rule of a primitive whose equation JAX can write out: ``make(equation)`` is that function."""

    def rule(*operands: Value, **_: Any) -> Any:
        results = tuple(SCOPE.lifter.expand(make(SCOPE.equation), operands))
        return results[0] if len(results) == 1 else results

    return rule


for _name, _make in private.EXPANSIONS.items():
    lift.rule(_name)(_expansion(_make))
