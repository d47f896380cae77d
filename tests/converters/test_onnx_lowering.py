"""Every sample of every op, lowered to ONNX and run in ONNX Runtime, against the NumPy reference."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

import kxchange_onnx  # noqa: E402
from kxchange import ops  # noqa: E402, F401
from kxchange.testing.backends import (  # noqa: E402
    Case,
    cases,
    check_backend_case,
    gap,
    load_gaps,
)
from kxchange.types import DType  # noqa: E402
from kxchange_onnx import kernels, narrow_run, opsets, private  # noqa: E402
from kxchange_onnx.prepare import prepare  # noqa: E402

pytestmark = pytest.mark.onnx

FILE = Path(kxchange_onnx.__file__).parent / "gaps.toml"
GAPS = load_gaps(FILE)
OLD_GAPS = tomllib.loads(FILE.read_text(encoding="utf-8"))["old_opset"]
FLOATS = (DType.FLOAT64, DType.FLOAT32, DType.FLOAT16)
OLD = 17


def reason(case: Case, opset: int | None) -> str | None:
    if (known := gap(GAPS, case)) or opset is None:
        return known
    found = [entry for entry in OLD_GAPS if opset < entry["opset"] and fnmatchcase(str(case), entry["case"])]
    return found[0]["reason"] if found else None


def marked(case: Case, opset: int | None = None) -> object:
    why = reason(case, opset)
    return pytest.param(case, marks=pytest.mark.xfail(reason=why, strict=True)) if why else case


@pytest.mark.parametrize("case", [marked(case) for case in cases(FLOATS)], ids=str)
def test_sample(case: Case) -> None:
    check_backend_case(partial(prepare, threads=1), case)


@pytest.mark.parametrize("case", [marked(case, OLD) for case in cases((DType.FLOAT32,))], ids=str)
def test_sample_at_opset_17(case: Case) -> None:
    check_backend_case(partial(prepare, threads=1, opset=OLD), case)


def test_every_gap_names_a_case() -> None:
    names = [str(case) for case in cases(FLOATS)]
    patterns = [*GAPS, *(entry["case"] for entry in OLD_GAPS)]
    assert [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)] == []
    assert len(names) > 2000


NARROW = (
    "tanh-0",
    "softplus-3",
    "matmul-0",
    "conv-0",
    "top_k-0",
    "where-0",
    "cumulative_max-0",
    "softmax-0",
    "cumulative_sum-0",
)
"""Samples that ONNX Runtime has no bfloat16 kernels for, or that hold some inside."""


@pytest.mark.parametrize("start", NARROW)
def test_bfloat16_is_run_in_float32_and_rounded(start: str) -> None:
    names = (f"{start}-bfloat16", f"{start}-")
    case = next(case for name in names for case in cases((DType.BFLOAT16,)) if str(case).startswith(name))
    assert "bfloat16" in str(case)
    check_backend_case(partial(prepare, threads=1), case)


def test_kernels_for_bfloat16_that_are_counted_on_are_there() -> None:
    for op_type in narrow_run.NATIVE - {"Constant", "Size"}:  # Size reads no number, Constant becomes an initializer
        assert any("bfloat16" in found for found in private.kernel_types(op_type).values()) or op_type == "Shape"


REFUSED_WHEN_RUN = {"LSTM": {"float64"}, "GRU": {"float64"}}
"""Types that ONNX Runtime registers a kernel for, which then answers that it has none (tried with 1.32)."""
ONLY_IN_NEW_OPSETS = {
    "Celu": {"float64"},
    "DepthToSpace": {"int8"},
    "ReduceMax": {"bool"},
    "ReduceMin": {"bool"},
    "SpaceToDepth": {"int8", "uint8"},
}
"""Types of the newest kernels that those of opset 17 do not take; kxchange writes the op without them everywhere."""
FUNCTIONS = {"GroupNormalization": "InstanceNormalization", "HardSwish": "HardSigmoid", "Mish": "Softplus"}
"""Ops that ONNX Runtime takes apart, and the op in their body whose kernels count."""


@pytest.mark.parametrize("op_type", sorted(kernels.KERNELS))
def test_kernel_table_is_that_of_the_runtime(op_type: str) -> None:
    types = private.kernel_types(FUNCTIONS.get(op_type, op_type))
    name = next(name for name in ("T", "T1", "V") if name in types)
    onnx_names = {"float": "float32", "double": "float64"}
    found = {onnx_names.get(dtype, dtype) for dtype in types[name]}
    known = {dtype.value for dtype in DType} - {"float16", "bfloat16", "int4", "uint4", "int2", "uint2"}
    wanted = (found & known) - REFUSED_WHEN_RUN.get(op_type, set()) - ONLY_IN_NEW_OPSETS.get(op_type, set())
    wanted = {dtype for dtype in wanted if not dtype.startswith("float8") and not dtype.startswith("complex")}
    assert set(kernels.KERNELS[op_type].split()) == wanted


def test_runtime_opset_is_what_the_runtime_loads() -> None:
    assert opsets.newest() >= 23
    assert private.runtime_opset() >= opsets.newest()
    first, last = private.kernel_versions()["MatMul"][-1]
    assert first == 13 and last >= opsets.newest()
