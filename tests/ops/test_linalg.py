"""Matrix products on cases worked out by hand (trap identifiers in the names)."""

from __future__ import annotations

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.errors import TypeInferenceError
from kxchange.graph import Value, placeholder, topological_order
from kxchange.spec import REGISTRY
from kxchange.types import TensorType

A = np.array([[1.0, 2.0], [3.0, 4.0]])
B = np.array([[5.0, 6.0], [7.0, 8.0]])


def emitted(equation: str, *types: str) -> list[str]:
    """Ops of the decomposition, in order."""
    values = [placeholder("x", TensorType.parse(text)) for text in types]
    rule = REGISTRY["einsum"].decompose_rule
    assert rule is not None
    result: Value = rule(*values, equation=equation)
    return [node.op for node in topological_order([result]) if node.op != "input"]


def test_matmul_of_vectors_r16(infer) -> None:
    assert ops.matmul(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 11
    assert infer(ops.matmul, "float32[k]", "float32[k]") == "float32[]"
    assert infer(ops.matmul, "float32[k]", "float32[b, k, n]") == "float32[b, n]"
    assert infer(ops.matmul, "float32[b, m, k]", "float32[k]") == "float32[b, m]"


def test_matmul_types(infer) -> None:
    assert infer(ops.matmul, "float32[b, 1, m, k]", "float32[h, k, n]") == "float32[b, h, m, n]"
    for left, right in [("float32[2, 3]", "float32[4, 5]"), ("float32[]", "float32[2]"), ("bool[2]", "bool[2]")]:
        with pytest.raises(TypeInferenceError):
            infer(ops.matmul, left, right)
    with pytest.raises(TypeInferenceError, match="dtypes"):
        infer(ops.matmul, "float32[2, 2]", "float64[2, 2]")


def test_matmul_of_nothing_is_zero_r20() -> None:
    assert ops.matmul(np.zeros((2, 0)), np.zeros((0, 2))).tolist() == [[0, 0], [0, 0]]


def test_integer_matmul_keeps_its_dtype_and_wraps() -> None:
    got = ops.matmul(np.array([[100]], np.int8), np.array([[2]], np.int8))
    assert got.dtype == np.int8 and got.tolist() == [[-56]]


def test_linear_weight_is_out_in_t11(ways) -> None:
    for got in ways(ops.linear, [1.0, 10.0], A, [100.0, 200.0]):
        assert got.tolist() == [121.0, 243.0]


def test_linear_types(infer) -> None:
    assert infer(ops.linear, "float32[b, s, k]", "float32[n, k]", "float32[n]") == "float32[b, s, n]"
    with pytest.raises(TypeInferenceError, match="weight"):
        infer(ops.linear, "float32[b, 3]", "float32[3, 4]")


@pytest.mark.parametrize(
    ("equation", "operands", "expected"),
    [
        ("ij,jk->ik", (A, B), [[19, 22], [43, 50]]),
        ("ij,kj->ik", (A, B), [[17, 23], [39, 53]]),
        ("ij,jk->", (A, B), 134),
        ("ij,ij->ij", (A, B), [[5, 12], [21, 32]]),
        ("ij->ji", (A,), [[1, 3], [2, 4]]),
        ("ii->i", (A,), [1, 4]),
        ("ii->", (A,), 5),
        ("ij->j", (A,), [4, 6]),
        ("i,j->ij", ([1.0, 2.0], [3.0, 4.0]), [[3, 4], [6, 8]]),
        ("ii,i->i", (A, [10.0, 100.0]), [10, 400]),
        ("ij,jk,kl->il", (A, B, A), [[85, 126], [193, 286]]),
        ("ij,kl->il", (A, B), [[36, 42], [84, 98]]),
    ],
)
def test_einsum(equation: str, operands: tuple[object, ...], expected: object, ways) -> None:
    for got in ways(ops.einsum, *operands, equation=equation):
        np.testing.assert_allclose(got, expected, rtol=1e-15)


def test_einsum_diagonal_ignores_what_is_off_it(ways) -> None:
    x = np.array([[1.0, np.inf], [np.nan, 2.0]])
    for got in ways(ops.einsum, x, equation="ii->i"):
        assert got.tolist() == [1, 2]


def test_einsum_becomes_one_matmul_without_reshapes_where_it_can() -> None:
    assert emitted("bik,bkj->bij", "float32[b, i, k]", "float32[b, k, j]") == ["matmul"]
    attention = emitted("bqhd,bkhd->bhqk", "float32[b, q, h, d]", "float32[b, k, h, d]")
    assert sorted(attention) == ["matmul", "permute_dims", "permute_dims"]


def test_einsum_types(infer) -> None:
    assert infer(ops.einsum, "float32[b, q, h, d]", "float32[b, k, h, d]", equation="bqhd,bkhd->bhqk") == (
        "float32[b, h, q, k]"
    )
    with pytest.raises(TypeInferenceError, match="differ"):
        infer(ops.einsum, "float32[2, 3]", "float32[1, 3]", equation="ij,ij->i")


@pytest.mark.parametrize(
    "equation", ["ij,jk", "...ij->ji", "ij, jk->ik", "ij,jk->iz", "ij,jk->ii", "ijk,jk->i", "ij->i", "i1,jk->k", ""]
)
def test_einsum_equations_are_strict(equation: str, infer) -> None:
    with pytest.raises(TypeInferenceError, match="equation"):
        infer(ops.einsum, "float32[2, 2]", "float32[2, 2]", equation=equation)
