"""What the reader would refuse, the writer does not write; and a type has one spelling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import kxchange as kx
from kxchange import ops
from kxchange.constraints import Constraint
from kxchange.dims import MAX_TEXT, symbol
from kxchange.errors import FormatError, LimitError
from kxchange.format.records import fields_of, parse_type
from kxchange.graph import Graph, placeholder
from kxchange.model import Function, Model
from kxchange.types import DType, TensorType


def long_dim() -> Any:
    return sum((symbol(f"{'a' * 40}{number}") for number in range(MAX_TEXT // 40)), 0)


def save(path: Path, graph: Graph, **options: Any) -> None:
    kx.save(Model({"main": Function(graph, ("y",))}, **options), path)


def test_a_dim_too_long_to_be_read_is_not_written(tmp_path: Path) -> None:
    x = placeholder("x", TensorType(DType.FLOAT32, (long_dim(),)))
    with pytest.raises(LimitError, match="1,024"):
        save(tmp_path / "net.kx", Graph((x,), (x,)))
    assert list(tmp_path.iterdir()) == []


def test_nor_as_an_attribute_or_in_a_constraint(tmp_path: Path) -> None:
    x = placeholder("x", TensorType(DType.FLOAT32, (2,)))
    y = ops.multiply(x, ops.astype(ops.full(shape=(), value=long_dim(), dtype=DType.INT64), dtype=DType.FLOAT32))
    with pytest.raises(LimitError, match="1,024"):
        save(tmp_path / "net.kx", Graph((x,), (y,)))
    constraint = Constraint("at_least", long_dim(), 1, "given")
    with pytest.raises(LimitError, match="1,024"):
        save(tmp_path / "net.kx", Graph((x,), (x,)), constraints=[constraint])
    assert list(tmp_path.iterdir()) == []


def test_a_rank_or_a_dim_beyond_the_limits_is_not_written(tmp_path: Path) -> None:
    for shape in ((1,) * 33, (2**48,)):
        x = placeholder("x", TensorType(DType.FLOAT32, shape))
        with pytest.raises(LimitError):
            save(tmp_path / "net.kx", Graph((x,), (x,)))


@pytest.mark.parametrize(
    "text", ["float32[]", "int64[2, 3]", "float32[batch, 2*seq+1]", "bool[max(a, b)]", "float32[0]"]
)
def test_types(text: str) -> None:
    assert str(parse_type(text, "it")) == text


@pytest.mark.parametrize("text", ["float32[2,3]", "float32[ 2]", " float32[2]", "float32[01]", "float32[-1]", "float32[1+a]", "float32", "x[2]", "", 7, None])  # fmt: skip
def test_types_that_are_none(text: Any) -> None:
    with pytest.raises(Exception) as caught:
        parse_type(text, "it")
    assert isinstance(caught.value, kx.KxchangeError)


@pytest.mark.parametrize(
    "record", [[], None, {}, {"a": 1}, {"a": 1, "b": "x", "c": 1}, {"a": True, "b": "x"}, {"a": "1", "b": "x"}]
)
def test_records_of_another_form(record: Any) -> None:
    assert fields_of({"a": 1, "b": "x"}, {"a": int, "b": str}, "it") == {"a": 1, "b": "x"}
    with pytest.raises(FormatError, match="^it"):
        fields_of(record, {"a": int, "b": str}, "it")
