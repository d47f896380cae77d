"""What every op of the language must satisfy, as functions that raise `MismatchError`; no test framework needed."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, cast

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kxchange.dims import evaluate as evaluate_dim
from kxchange.errors import MismatchError
from kxchange.graph import Graph, Value, placeholder
from kxchange.reference import evaluate
from kxchange.shapes import collecting
from kxchange.spec import REGISTRY, Op, as_tuple
from kxchange.testing.sample import Sample
from kxchange.types import DType, TensorType

Array = NDArray[Any]

AGREEMENT = 1e-12
"""Relative distance allowed in float64 between two correct ways to compute one thing: rounding, no more."""
AGREEMENT_FLOAT32 = 1e-6
"""The same for complex64."""


def reference_results(sample: Sample, floating: DType = DType.FLOAT64) -> tuple[Array, ...]:
    """What the reference computes for the sample."""
    attrs = REGISTRY[sample.op].bind_attrs(sample.attributes(floating=floating))
    with np.errstate(all="ignore"):
        return REGISTRY[sample.op].evaluate(sample.arrays(floating), attrs)


def inferred_types(sample: Sample, floating: DType = DType.FLOAT64, *, symbolic: bool) -> tuple[TensorType, ...]:
    """What type inference says of the sample."""
    spec = REGISTRY[sample.op]
    attrs = spec.bind_attrs(sample.attributes(symbolic=symbolic, floating=floating))
    with collecting():
        return spec.result_types(sample.types(floating, symbolic=symbolic), attrs)


def check_spec(spec: Op[...]) -> None:
    """The op is documented, and its rules take the specification's operands and attributes without defaults."""
    if not (spec.__doc__ or "").strip():
        raise MismatchError(f"Op {spec.name} has no docstring.")
    if spec.infer_rule is None and spec.decompose_rule is None:
        raise MismatchError(f"Op {spec.name} has neither a type rule nor a decomposition.")
    for role, rule in (("infer", spec.infer_rule), ("decompose", spec.decompose_rule)):
        if rule is not None:
            _check_rule(spec, role, inspect.signature(rule))


def _check_rule(spec: Op[...], role: str, signature: inspect.Signature) -> None:
    parameters = signature.parameters.values()
    attrs = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    operands = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    if operands != list(spec.operands) or attrs != list(spec.attrs):
        wanted = f"({', '.join([*spec.operands, '*', *spec.attrs])})"
        raise MismatchError(f"The {role} rule of {spec.name} is {signature}, not {wanted}.")
    if defaults := [p.name for p in parameters if p.default is not p.empty]:
        raise MismatchError(f"The {role} rule of {spec.name} gives {defaults[0]!r} a default: it belongs in the spec.")


def check_types(sample: Sample, floating: DType = DType.FLOAT64) -> None:
    """The reference's results have the inferred dtypes and shapes, with and without names of the symbolic axes."""
    results = reference_results(sample, floating)
    for symbolic in (False, True) if sample.symbolic else (False,):
        types = inferred_types(sample, floating, symbolic=symbolic)
        if len(types) != len(results):
            raise MismatchError(f"{sample.id}: {len(results)} results, {len(types)} types inferred.")
        for type, result in zip(types, results, strict=True):
            _check_type(sample, type, result)


def _check_type(sample: Sample, type: TensorType, result: Array) -> None:
    fresh = {str(dim): size for dim, size in zip(type.shape, result.shape, strict=False) if str(dim).isidentifier()}
    shape = tuple(evaluate_dim(dim, {**fresh, **sample.sizes}) for dim in type.shape)
    if result.dtype != type.dtype.numpy or result.shape != shape:
        raise MismatchError(f"{sample.id}: result {result.dtype.name}{result.shape}, inferred {type} = {shape}.")


def check_decomposition(sample: Sample, floating: DType = DType.FLOAT64) -> None:
    """The decomposition, run on the references of the ops it is written in, computes what the reference computes."""
    graph = decomposed(sample, floating, symbolic=False)
    expected = reference_results(sample, floating)
    compare(sample.id, run_decomposed(graph, sample, floating), expected)
    if sample.symbolic:
        graph = decomposed(sample, floating, symbolic=True)
        compare(f"{sample.id} (symbolic)", run_decomposed(graph, sample, floating), expected)


def decomposed(sample: Sample, floating: DType, *, symbolic: bool) -> Graph:
    """The sample's op expanded once, as a graph over one input per present operand."""
    spec = REGISTRY[sample.op]
    if spec.decompose_rule is None:
        raise MismatchError(f"Op {spec.name} has no decomposition.")
    types = sample.types(floating, symbolic=symbolic)
    values = [None if type is None else placeholder(f"x{i}", type) for i, type in enumerate(types)]
    attrs = spec.bind_attrs(sample.attributes(symbolic=symbolic, floating=floating))
    outputs: tuple[Value, ...] = as_tuple(spec.decompose_rule(*values, **attrs))
    return Graph(tuple(value for value in values if value is not None), outputs)


def run_decomposed(graph: Graph, sample: Sample, floating: DType) -> tuple[Array, ...]:
    """Run a graph of `decomposed` on the sample's arrays."""
    return evaluate(graph, [array for array in sample.arrays(floating) if array is not None], dims=sample.sizes)


def check_composite_types(sample: Sample, floating: DType = DType.FLOAT64) -> None:
    """A composite op's own type rule says what its decomposition would."""
    for symbolic in (False, True) if sample.symbolic else (False,):
        stated = inferred_types(sample, floating, symbolic=symbolic)
        derived = tuple(value.type for value in decomposed(sample, floating, symbolic=symbolic).outputs)
        if stated != derived:
            raise MismatchError(f"{sample.id}: {show(stated)} by its rule, {show(derived)} by its decomposition.")


def check_precision(sample: Sample, floating: DType) -> None:
    """In a narrower dtype the reference keeps that dtype and is off by the rounding of its operands and results.

    The operands are rounded first, and the float64 truth is computed on those, so that only the result's rounding and
    that of float32 arithmetic remain.
    """
    spec = REGISTRY[sample.op]
    arrays = sample.arrays(floating)
    wide = [
        widened(array, operand is not None and operand.dtype is None)
        for array, operand in zip(arrays, sample.operands, strict=True)
    ]
    with np.errstate(all="ignore"):
        got = spec.evaluate(arrays, spec.bind_attrs(sample.attributes(floating=floating)))
        truth = spec.evaluate(wide, spec.bind_attrs(sample.attributes(floating=DType.FLOAT64)))
    types = inferred_types(sample, floating, symbolic=False)
    for result, exact, type in zip(got, truth, types, strict=True):
        if result.dtype != type.dtype.numpy:
            raise MismatchError(f"{sample.id}: {result.dtype.name} for {floating}, inferred {type}.")
        if type.dtype.is_floating:
            _check_rounding(f"{sample.id} in {floating}", result, exact, type.dtype)
        else:
            compare(f"{sample.id} in {floating}", [result], [exact.astype(result.dtype)], AGREEMENT_FLOAT32)


def widened(array: Array | None, floating: bool) -> Array | None:
    """An operand in float64 if it has the floating dtype under test."""
    return array if array is None or not floating else array.astype(np.float64)


def _check_rounding(who: str, result: Array, exact: Array, dtype: DType) -> None:
    with np.errstate(over="ignore"):
        rounded = exact.astype(dtype.numpy).astype(np.float64)
    got = result.astype(np.float64)
    _check_masks(who, got, rounded)
    finite = np.isfinite(rounded)
    limits = cast("Any", ml_dtypes).finfo(dtype.numpy)
    # Float32 arithmetic may be off by a few units of its own, which moves a 16-bit result to its neighbour at most.
    noise = 16.0 * float(np.finfo(np.float32).eps) * float(np.max(np.abs(rounded[finite]), initial=0.0))
    allowed = float(limits.eps) * np.abs(rounded) + noise + float(limits.smallest_subnormal)
    excess = np.abs(got[finite] - rounded[finite]) - allowed[finite]
    if np.any(excess > 0.0):
        worst = int(np.argmax(excess))
        pair = f"{got[finite][worst]!r} where {rounded[finite][worst]!r} is right"
        raise MismatchError(f"{who}: {pair}, more than rounding explains.")


def compare(who: str, got: Sequence[Array], expected: Sequence[Array], tolerance: float = AGREEMENT) -> None:
    """Two lists of results: dtypes, shapes, integers, booleans and NaN and inf masks equal, floats close in norm.

    Raises:
        MismatchError: They differ.
    """
    if len(got) != len(expected):
        raise MismatchError(f"{who}: {len(got)} results, {len(expected)} expected.")
    for index, (left, right) in enumerate(zip(got, expected, strict=True)):
        _compare_one(f"{who} result {index}", left, right, tolerance)


def _compare_one(who: str, got: Array, expected: Array, tolerance: float) -> None:
    if got.dtype != expected.dtype or got.shape != expected.shape:
        raise MismatchError(f"{who}: {got.dtype.name}{got.shape}, expected {expected.dtype.name}{expected.shape}.")
    if not (DType.of(got.dtype).is_floating or DType.of(got.dtype).is_complex):
        if not np.array_equal(got, expected):
            raise MismatchError(f"{who}: {int(np.sum(got != expected))} of {got.size} elements differ.")
        return
    kind = np.complex128 if got.dtype.kind == "c" else np.float64
    left, right = got.astype(kind), expected.astype(kind)
    _check_masks(who, left, right)
    finite = np.isfinite(right)
    distance = float(np.linalg.norm(left[finite] - right[finite]))
    size = float(np.linalg.norm(right[finite]))
    if distance > tolerance * size:
        raise MismatchError(f"{who}: off by {distance:.3g} in norm, {distance / size if size else 1:.3g} relative.")


def _check_masks(who: str, got: Array, expected: Array) -> None:
    infinite = np.isinf(expected)
    if np.any(np.isnan(got) != np.isnan(expected)):
        raise MismatchError(f"{who}: NaN in other places.")
    if np.any(np.isinf(got) != infinite) or np.any(got[infinite] != expected[infinite]):
        raise MismatchError(f"{who}: infinities in other places.")


def show(types: Sequence[TensorType]) -> str:
    """Types for a message."""
    return ", ".join(map(str, types))
