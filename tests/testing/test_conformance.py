"""The conformance checks notice what they are there for: each is given an op with one fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.errors import MismatchError
from kxchange.spec import REGISTRY, Op, op
from kxchange.testing import conformance
from kxchange.testing.sample import Sample, normal, values
from kxchange.types import DType

SAMPLE = Sample("faulty", (normal(("n", 3), 2),), {"power": 2})


@pytest.fixture
def faulty() -> Any:
    """Declares ``faulty(x, *, power)`` with given rules and forgets it afterwards."""

    def declare(reference: Callable[..., Any], infer: Any = None, decompose: Any = None) -> Op[...]:
        reference.__name__ = "faulty"
        spec = op(reference)
        spec.infer_rule, spec.decompose_rule = infer, decompose
        return spec

    yield declare
    REGISTRY.pop("faulty", None)


def cube(x: Any, /, *, power: int) -> Any:
    """X to a power."""
    return x**power


def same(x: Any, *, power: int) -> Any:
    return x


def right(x: Any, *, power: int) -> Any:
    return ops.multiply(x, x)


def test_a_faultless_op_passes(faulty: Any) -> None:
    conformance.check_spec(faulty(cube, same, right))
    for check in (conformance.check_types, conformance.check_decomposition, conformance.check_composite_types):
        check(SAMPLE)
    conformance.check_precision(SAMPLE, DType.BFLOAT16)


def test_specs(faulty: Any) -> None:
    def undocumented(x: Any, /, *, power: int) -> Any:
        return x

    with pytest.raises(MismatchError, match="docstring"):
        conformance.check_spec(faulty(undocumented, same))
    REGISTRY.pop("faulty")
    with pytest.raises(MismatchError, match="neither"):
        conformance.check_spec(faulty(cube))
    for rule in (lambda y, *, power: y, lambda x, *, exponent: x, lambda x: x, lambda x, *, power=2: x):
        REGISTRY.pop("faulty", None)
        with pytest.raises(MismatchError, match="infer rule"):
            conformance.check_spec(faulty(cube, rule))


def test_types(faulty: Any) -> None:
    faulty(cube, lambda x, *, power: x.with_dtype(DType.FLOAT32))
    with pytest.raises(MismatchError, match="inferred"):
        conformance.check_types(SAMPLE)
    REGISTRY.pop("faulty")
    faulty(cube, lambda x, *, power: x.with_shape((3, 2) if x.shape == (3, 2) else (x.shape[0], x.shape[0])))
    with pytest.raises(MismatchError, match="inferred"):
        conformance.check_types(SAMPLE)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, *, power: ops.multiply(ops.multiply(x, x), 1.0 + 1e-9),
        lambda x, *, power: x,
        lambda x, *, power: ops.astype(ops.multiply(x, x), dtype=DType.FLOAT32),
        lambda x, *, power: ops.divide(ops.multiply(x, x), 0.0),
    ],
)
def test_decompositions(faulty: Any, wrong: Any) -> None:
    faulty(cube, same, wrong)
    with pytest.raises(MismatchError):
        conformance.check_decomposition(SAMPLE)


def test_composite_rules(faulty: Any) -> None:
    faulty(cube, same, lambda x, *, power: ops.sum(x, axis=(0,)))
    with pytest.raises(MismatchError, match="by its decomposition"):
        conformance.check_composite_types(SAMPLE)


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16])
def test_precision(faulty: Any, dtype: DType) -> None:
    def off(x: Any, /, *, power: int) -> Any:
        """Off by a little more than rounding in every dtype but float64."""
        return np.square(x) if x.dtype == np.float64 else np.square(x) * x.dtype.type(1.02)

    faulty(off, same)
    with pytest.raises(MismatchError, match="more than rounding"):
        conformance.check_precision(SAMPLE, dtype)


def test_comparison_of_special_values() -> None:
    a = np.array([1.0, np.nan, np.inf])
    conformance.compare("same", [a], [a.copy()])
    for other in ([1.0, 2.0, np.inf], [1.0, np.nan, -np.inf], [1.0, np.nan, 3.0], [1.1, np.nan, np.inf]):
        with pytest.raises(MismatchError):
            conformance.compare("other", [np.array(other)], [a])
    with pytest.raises(MismatchError, match="1 of 2 elements"):
        conformance.compare("integers", [np.array([1, 2])], [np.array([1, 3])])


def test_samples_are_the_same_every_time_and_round_once() -> None:
    first, second = SAMPLE.arrays(), SAMPLE.arrays()
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(SAMPLE.arrays(DType.FLOAT32)[0], first[0].astype(np.float32))
    assert SAMPLE.sizes == {"n": 3}
    assert str(SAMPLE.types(symbolic=True)[0]) == "float64[n, 2]"
    assert Sample("faulty", (values([True]),)).types()[0].dtype is DType.BOOL
    with pytest.raises(ValueError, match="not 5"):
        _ = Sample("faulty", (normal(("n", 3)), normal(("2*n", 5)))).sizes
