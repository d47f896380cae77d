"""What every backend must satisfy: each sample of each op, built as a model of one node, gives the reference's results.

@pytest.mark.parametrize("case", cases(), ids=str)
def test_sample(case):
check_backend_case(converter("torch").prepare, case)
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kxchange.converter import Runner
from kxchange.dims import symbol, symbols
from kxchange.errors import KxchangeError, MismatchError
from kxchange.graph import Graph, Value, placeholder
from kxchange.model import Function, Model
from kxchange.spec import REGISTRY, as_tuple, dims_of
from kxchange.testing.conformance import AGREEMENT, compare, reference_results, widened
from kxchange.testing.gauge import same_gauge
from kxchange.testing.sample import FLOAT, FLOATING, Operand, Sample
from kxchange.testing.samples import all_samples
from kxchange.types import DType, TensorType

Array = NDArray[Any]
Prepare = Callable[[Model], Runner]

SIZES_INPUT = "sizes"
"""Extra input of a sample model: its axes give the symbols that no operand gives."""
SLACK = 8.0
"""How many times the reference's own error in a narrow dtype a backend may be off."""


@dataclass(frozen=True, slots=True)
class Case:
    """One sample in one floating dtype, with or without names for its sizes."""

    sample: Sample
    floating: DType
    symbolic: bool = False

    def __str__(self) -> str:
        return f"{self.sample.id}-{self.floating}" + ("-symbolic" if self.symbolic else "")


def cases(floating: Iterable[DType] = (DType.FLOAT64, DType.FLOAT32)) -> Iterator[Case]:
    """Every sample of every op, in each of the given dtypes that it is meant for; symbolic ones also by name."""
    wanted = tuple(floating)
    for family in all_samples().values():
        for sample in family:
            chosen = [dtype for dtype in wanted if dtype in sample.dtypes] or list(sample.dtypes[:1])
            if not (sample.symbolic and _has_graphs(sample)):  # a sub-graph speaks of symbols of the graph around it
                yield from (Case(sample, dtype) for dtype in chosen)
            if sample.symbolic:
                yield Case(sample, chosen[0], symbolic=True)


def integer_cases(op: str) -> Iterator[Case]:
    """The samples of an op with every floating operand in each integer type and in bool, where its type rule allows.

    Names are those of the samples; the sample's note has the type.
    """
    for sample in all_samples()[op]:
        for dtype in INTEGERS:
            operands = tuple(_as_integer(operand, dtype) for operand in sample.operands)
            attrs = {name: dtype if value is FLOAT else value for name, value in sample.attrs.items()}
            changed = replace(
                sample, operands=operands, attrs=attrs, note=f"{sample.note}-{dtype}", dtypes=FLOATING[:1]
            )
            if operands != sample.operands and _is_accepted(changed):
                yield Case(changed, DType.FLOAT64)


INTEGERS = tuple(dtype for dtype in DType if (dtype.is_integer and dtype.bits >= 8) or dtype.is_bool)
"""Types that `integer_cases` puts in place of floating ones."""


def _as_integer(operand: Operand | None, dtype: DType) -> Operand | None:
    if operand is None or not (operand.dtype is None or operand.dtype.is_floating):
        return operand

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        low, high = (-5, 6) if dtype.is_signed else (0, 2 if dtype.is_bool else 9)
        return generator.integers(low, high, shape)

    return Operand(operand.sizes, draw, dtype)


def _is_accepted(sample: Sample) -> bool:
    """Whether types and values suit the op: a divisor of 0 or a negative index may not."""
    try:
        with np.errstate(all="ignore"):
            sample_model(sample)
            reference_results(sample)
    except (KxchangeError, ValueError, TypeError):
        return False
    return True


def _has_graphs(sample: Sample) -> bool:
    return any(isinstance(item, Graph) for value in sample.attrs.values() for item in as_tuple(value))


def sample_model(sample: Sample, floating: DType = DType.FLOAT64, *, symbolic: bool = False) -> Model:
    """A model of one node: inputs ``x0``, ``x1`` ... for the operands present, outputs ``y0``, ``y1`` ..."""
    types = sample.types(floating, symbolic=symbolic)
    values = [None if type is None else placeholder(f"x{i}", type) for i, type in enumerate(types)]
    attrs = sample.attributes(symbolic=symbolic, floating=floating)
    outputs = REGISTRY[sample.op].emit(values, attrs).outputs
    inputs = [value for value in values if value is not None]
    if missing := _unbound(inputs, attrs) if symbolic else []:
        inputs.append(placeholder(SIZES_INPUT, TensorType(DType.INT8, tuple(symbol(name) for name in missing))))
    names = tuple(f"y{index}" for index in range(len(outputs)))
    return Model({"main": Function(Graph(tuple(inputs), outputs), names)})


def _unbound(inputs: list[Value], attrs: dict[str, Any]) -> list[str]:
    """Symbols of the attributes that no operand's shape names."""
    given = {name for value in inputs for dim in value.shape for name in symbols(dim)}
    needed = {name for value in attrs.values() for dim in dims_of(value) for name in symbols(dim)}
    return sorted(needed - given)


def sample_inputs(sample: Sample, model: Model, floating: DType = DType.FLOAT64) -> dict[str, Array]:
    """The operands of a sample by input name of its model."""
    arrays = {f"x{i}": array for i, array in enumerate(sample.arrays(floating)) if array is not None}
    if SIZES_INPUT in model.input_names:
        dims = model.main.input_types[SIZES_INPUT].shape
        arrays[SIZES_INPUT] = np.zeros(tuple(sample.sizes[str(dim)] for dim in dims), np.int8)
    return arrays


def check_backend_case(prepare: Prepare, case: Case) -> None:
    """A backend computes what the reference computes.

    In float64 to rounding; in a narrower dtype as near to the float64 truth as the reference in that dtype is, times
    `SLACK`. Integers, booleans, and where NaN and infinities stand: exactly.

    Raises:
        MismatchError: It does not.
    """
    sample, floating = case.sample, case.floating
    model = sample_model(sample, floating, symbolic=case.symbolic)
    found = list(prepare(model)(sample_inputs(sample, model, floating)).values())
    got, own = (same_gauge(sample.op, results) for results in (found, reference_results(sample, floating)))
    with np.errstate(all="ignore"):
        if floating is DType.FLOAT64:
            for index, (result, reference) in enumerate(zip(got, own, strict=True)):
                compare(f"{case} result {index}", [result], [reference], _agreement(reference))
            return
        truths = same_gauge(sample.op, _truth(sample, floating))
        for index, (result, reference, truth) in enumerate(zip(got, own, truths, strict=True)):
            _compare_narrow(f"{case} result {index}", result, reference, truth, floating)


def _agreement(array: Array) -> float:
    """Rounding of float64; of a narrower type where the sample fixes one."""
    dtype = DType.of(array.dtype).real
    return AGREEMENT if not dtype.is_floating or dtype is DType.FLOAT64 else max(AGREEMENT, SLACK * _epsilon(dtype))


def _truth(sample: Sample, floating: DType) -> tuple[Array, ...]:
    """The float64 results on operands that were rounded to `floating` first."""
    spec = REGISTRY[sample.op]
    arrays = [
        widened(array, operand is not None and operand.dtype is None)
        for array, operand in zip(sample.arrays(floating), sample.operands, strict=True)
    ]
    with np.errstate(all="ignore"):
        return spec.evaluate(arrays, spec.bind_attrs(sample.attributes(floating=DType.FLOAT64)))


def _compare_narrow(who: str, got: Array, own: Array, truth: Array, floating: DType) -> None:
    dtype = DType.of(own.dtype)
    if not (dtype.is_floating or dtype.is_complex):
        compare(who, [got], [own])
        return
    compare(who, [got], [own], tolerance=np.inf)  # dtype, shape and the places of NaN and infinities
    wide = np.complex128 if dtype.is_complex else np.float64
    found, expected, exact = (array.astype(wide) for array in (got, own, truth))
    finite = np.isfinite(expected) & np.isfinite(exact)
    size = float(np.linalg.norm(exact[finite]))
    floor = float(np.linalg.norm((expected - exact)[finite])) + _epsilon(floating) * size
    distance = float(np.linalg.norm((found - exact)[finite]))
    if distance > SLACK * floor + AGREEMENT * size:
        raise MismatchError(f"{who}: off by {distance / size if size else distance:.3g}, the reference by {floor:.3g}.")


def _epsilon(dtype: DType) -> float:
    return float(cast("Any", ml_dtypes).finfo(dtype.numpy).eps)


def load_gaps(path: Path) -> dict[str, str]:
    """Reasons by case name from a converter's `gaps.toml`; ``*`` and ``?`` in a name as in file patterns.

    Raises:
        MismatchError: An entry has no reason.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("gap", [])
    if bare := [entry for entry in entries if not entry.get("reason")]:
        raise MismatchError(f"{path.name} lists {bare[0]} without a reason.")
    return {str(entry["case"]): str(entry["reason"]) for entry in entries}


def varying_gaps(path: Path) -> set[str]:
    """The entries of a `gaps.toml` marked ``varies = true``: whether they fail depends on the processor."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("gap", [])
    return {str(entry["case"]) for entry in entries if entry.get("varies")}


def gap(gaps: dict[str, str], case: Case) -> str | None:
    """Why a case is known to fail, if it is."""
    return next((reason for pattern, reason in gaps.items() if fnmatchcase(str(case), pattern)), None)
