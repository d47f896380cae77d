"""What the op tests share: an op computed in every way there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kxchange.graph import Graph, Value, placeholder
from kxchange.reference import evaluate
from kxchange.spec import Op, as_tuple
from kxchange.types import DType, TensorType

Array = np.ndarray[Any, np.dtype[Any]]
Ways = Callable[..., list[Array]]
Infer = Callable[..., str]


@pytest.fixture(scope="session")
def ways() -> Ways:
    """The first result of an op by its reference and, where it has one, by its decomposition."""

    def compute(spec: Op[...], *operands: object, **attrs: object) -> list[Array]:
        arrays = [None if operand is None else np.asarray(operand) for operand in operands]
        arrays += [None] * (spec.fixed - len(arrays))
        bound = spec.bind_attrs(attrs)
        results = [spec.evaluate(arrays, bound)[0]]
        if not spec.primitive:
            results.append(_decomposed(spec, arrays, bound))
        return results

    return compute


def _decomposed(spec: Op[...], arrays: list[Array | None], attrs: dict[str, Any]) -> Array:
    values = [None if a is None else placeholder("x", TensorType(DType.of(a.dtype), a.shape)) for a in arrays]
    assert spec.decompose_rule is not None
    outputs: tuple[Value, ...] = as_tuple(spec.decompose_rule(*values, **attrs))
    graph = Graph(tuple(value for value in values if value is not None), outputs)
    return evaluate(graph, [array for array in arrays if array is not None])[0]


@pytest.fixture(scope="session")
def infer() -> Infer:
    """The first result type of an op for operands given as text."""

    def result(spec: Op[...], *operands: str | None, **attrs: object) -> str:
        types = [None if text is None else TensorType.parse(text) for text in operands]
        types += [None] * (spec.fixed - len(types))
        return str(spec.result_types(types, spec.bind_attrs(attrs))[0])

    return result
