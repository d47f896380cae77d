"""Every registered op keeps the laws of the language on every one of its samples."""

from __future__ import annotations

import pytest

import kxchange.ops as ops
from kxchange.spec import REGISTRY, Op
from kxchange.testing import conformance
from kxchange.testing.sample import Sample
from kxchange.testing.samples import all_samples
from kxchange.types import DType

SPECS = [pytest.param(spec, id=name) for name, spec in sorted(REGISTRY.items())]
SAMPLES = [pytest.param(s, id=s.id) for _, family in sorted(all_samples().items()) for s in family]
COMPOSITE = [p for p in SAMPLES if not REGISTRY[p.values[0].op].primitive]  # pyright: ignore
PRECISIONS = [
    pytest.param(sample, dtype, id=f"{sample.id}-{dtype}")
    for family in all_samples().values()
    for sample in family
    for dtype in sample.dtypes
    if dtype is not DType.FLOAT64
]


@pytest.mark.parametrize("spec", SPECS)
def test_spec_is_whole(spec: Op[...]) -> None:
    conformance.check_spec(spec)
    assert all_samples().get(spec.name), f"op {spec.name} has no sample"


@pytest.mark.parametrize("spec", SPECS)
def test_op_is_exported(spec: Op[...]) -> None:
    assert getattr(ops, spec.name) is spec
    assert spec.name in ops.__all__


@pytest.mark.parametrize("sample", SAMPLES)
def test_reference_has_the_inferred_types(sample: Sample) -> None:
    for dtype in sample.dtypes:
        conformance.check_types(sample, dtype)


@pytest.mark.parametrize("sample", COMPOSITE)
def test_decomposition_is_the_reference(sample: Sample) -> None:
    conformance.check_decomposition(sample)


@pytest.mark.parametrize("sample", COMPOSITE)
def test_composite_rule_is_its_decomposition(sample: Sample) -> None:
    conformance.check_composite_types(sample)


@pytest.mark.parametrize(("sample", "dtype"), PRECISIONS)
def test_reference_is_right_in_narrow_dtypes(sample: Sample, dtype: DType) -> None:
    conformance.check_precision(sample, dtype)
