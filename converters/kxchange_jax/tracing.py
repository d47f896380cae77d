"""Tracing a captured call to a jaxpr with symbolic sizes, and once more in 64 bits for the source's numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kxchange.errors import CaptureError, KxchangeError
from kxchange_jax.dims_in import DimPlan
from kxchange_jax.inputs_in import Examples
from kxchange_jax.numbers_in import Numbers, float_numbers, is_short
from kxchange_jax.private import wide_integers
from kxchange_jax.purity_in import require_pure
from kxchange_jax.sources_in import place_of
from kxchange_jax.subjects import Subject

_REMAINDER = re.compile(r"remainder mod\((.+), (?:- )?(\d+)\) should be 0")
_COMPARISON = re.compile(r"comparison '(.+?)' (>=|==|<=|>|<) '(.+?)' is inconclusive")


@dataclass(frozen=True)
class Traced:
    """A traced call.

    Attributes:
        jaxpr: The closed jaxpr: parameters, then inputs.
        outputs: The output tree, with shapes for leaves.
        written: Names of the parameters whose next values stand behind the outputs.
        numbers: The source's numbers at full precision.
    """

    jaxpr: Any
    outputs: Any
    written: list[str]
    numbers: Numbers


@dataclass(eq=False)
class Call:
    """One call of a subject, ready to be traced.

    Attributes:
        subject: What is called.
        examples: With which arguments.
        plan: And which of their axes are symbolic.
        vmap: Whether it is mapped over axis 0 of every input, or what that axis is called inside.
        wide: Whether it is called in float64.
        numbers: The source's numbers at full precision, once it was traced.
        kept: Which of the leaves that it gives, written parameters last, are outputs of the model.
    """

    subject: Subject
    examples: Examples
    plan: DimPlan
    vmap: bool | str = False
    wide: bool = False
    numbers: Numbers | None = None
    kept: tuple[bool, ...] = ()

    def __call__(self, leaves: list[Any], arrays: list[Any]) -> tuple[Any, Mapping[str, Any]]:
        """Run the subject on parameters and inputs in order."""
        tree = jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(self.subject.params), leaves)
        names = list(self.examples.arrays)
        if not self.vmap:
            return self._run(tree, dict(zip(names, arrays, strict=True)))
        name = self.vmap if isinstance(self.vmap, str) else None
        # What is written is one for the whole batch: JAX says where it is not.
        mapped = jax.vmap(
            lambda given: self._run(tree, dict(zip(names, given, strict=True))), out_axes=(0, None), axis_name=name
        )
        return mapped(arrays)

    def _run(self, tree: Any, arrays: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        args, kwargs = self.examples.call(arrays)
        function = (self.subject.wide_function if self.wide else None) or self.subject.function
        return function(tree, *args, **kwargs)

    def abstract(self, sizes: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        """Parameters and inputs as the tracer takes them."""
        params = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in jax.tree_util.tree_leaves(self.subject.params)]
        inputs = list(self.plan.abstract(self.examples.arrays, sizes).values())
        return (list(map(_widened, params)), list(map(_widened, inputs))) if self.wide else (params, inputs)

    def trace(self, sizes: dict[str, Any]) -> Traced:
        """Trace the call.

        Raises:
            CaptureError: JAX cannot trace it; the message has JAX's reason.
        """
        jaxpr, (outputs, written) = self._jaxpr(sizes)
        require_pure(jaxpr, replace(self)._jaxpr(sizes)[0], self.subject.label)
        self.numbers = self._numbers(jaxpr, sizes)
        return Traced(jaxpr, outputs, list(written), self.numbers)

    def _jaxpr(self, sizes: dict[str, Any]) -> Any:
        try:
            return jax.make_jaxpr(self, return_shape=True)(*self.abstract(sizes))
        except KxchangeError:
            raise
        except Exception as error:
            raise CaptureError(self._explain(error)) from error

    def _numbers(self, jaxpr: Any, sizes: dict[str, Any]) -> Numbers:
        """The numbers before they were rounded, where some were."""
        found = [np.asarray(number, np.float64).item() for number in float_numbers(jaxpr)]
        if all(map(is_short, found)):
            return Numbers([])
        try:
            twin = replace(self, wide=True)
            with wide_integers():
                wide = jax.make_jaxpr(twin)(*twin.abstract(sizes))
        except Exception:  # the function has no form in 64 bits; the shortest decimals are the best guess
            return Numbers(None)
        return Numbers([np.asarray(number, np.float64).item() for number in float_numbers(wide)])

    def _explain(self, error: Exception) -> str:
        """JAX's reason in a few words, and what may help."""
        text = str(error).strip()
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        reason = " ".join(lines[:3])[:600] or type(error).__name__
        symbols = ", ".join(sorted(self.plan.sizes)) or "none"
        advice = ""
        condition = _condition(text)
        if condition:
            advice = f" If {condition} always holds, say so: constraints=[{condition!r}]."
        elif self.plan.sizes and any(word in text.lower() for word in ("symbolic", "dimension", "shape")):
            advice = " Sizes that must be fixed can be: dynamic={'name': None}, or dynamic=False for all."
        place = place_of(error)
        return (
            f"jax cannot trace {self.subject.label}{f', at {place},' if place else ''} with the symbolic sizes "
            f"{symbols}: {type(error).__name__}: {reason}{advice}"
        )


def _condition(text: str) -> str:
    """The condition on sizes that JAX could not decide, by its message."""
    if match := _COMPARISON.search(text):
        return f"{match[1]} {match[2]} {match[3]}"
    match = _REMAINDER.search(text)
    return f"mod({match[1]}, {match[2]}) == 0" if match else ""


def _widened(spec: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(spec.shape, np.float64) if jnp.issubdtype(spec.dtype, jnp.floating) else spec
