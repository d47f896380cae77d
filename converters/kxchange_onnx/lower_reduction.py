"""Matrix products and reductions: canonical op -> ONNX."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from kxchange.graph import Node
from kxchange.table import Table
from kxchange_onnx.dims_out import scalar
from kxchange_onnx.kernels import has_kernel, takes
from kxchange_onnx.lower_indexing import has_elements
from kxchange_onnx.opsets import since, target
from kxchange_onnx.writing import constant, emit

TABLE = Table("onnx")


@TABLE.rule("matmul", when=takes("MatMul"))
def _(x1: ir.Value, x2: ir.Value) -> ir.Value:
    return emit("MatMul", x1, x2)


@TABLE.rule("det", when=takes("Det"))
def _(x: ir.Value) -> ir.Value:
    return emit("Det", x)


def _as_gemm(node: Node) -> bool:
    # MatMul would need the weight transposed: a copy of it when the file is opened.
    x = node.inputs[0]
    return x is not None and x.ndim == 2 and x.dtype.is_floating and has_kernel("Gemm", x.dtype)


@TABLE.rule("linear", when=_as_gemm)
def _(x: ir.Value, weight: ir.Value, bias: ir.Value | None) -> ir.Value:
    return emit("Gemm", x, weight, *(() if bias is None else (bias,)), transB=1)


def _reduction(op_type: str, version: int) -> Any:
    """The rule of a reduction whose axes are an input from opset `version` on, an attribute before."""

    def rule(x: ir.Value, *, axis: tuple[int, ...] | None, keepdims: bool) -> ir.Value:
        if axis == ():
            return x
        if target() >= version:
            return emit(op_type, x, None if axis is None else constant(list(axis)), keepdims=int(keepdims))
        return emit(op_type, x, axes=axis, keepdims=int(keepdims))

    return rule


for _name, _op_type, _version in [
    ("sum", "ReduceSum", 13),
    ("prod", "ReduceProd", 18),
    ("max", "ReduceMax", 18),
    ("min", "ReduceMin", 18),
]:
    TABLE.rule(_name, when=takes(_op_type))(_reduction(_op_type, _version))


def _averages(node: Node) -> bool:
    x = node.inputs[0]
    # ONNX Runtime's mean of nothing is 0, not NaN (trap R17).
    return x is not None and x.ndim > 0 and 0 not in x.shape and takes("ReduceMean")(node)


TABLE.rule("mean", when=_averages)(_reduction("ReduceMean", 18))
TABLE.rule("any", when=since(20, has_elements))(_reduction("ReduceMax", 18))
TABLE.rule("all", when=since(20, has_elements))(_reduction("ReduceMin", 18))


@TABLE.rule("argmax", when=takes("ArgMax"))
def _(x: ir.Value, *, axis: int, keepdims: bool) -> ir.Value:
    return emit("ArgMax", x, axis=axis, keepdims=int(keepdims))


@TABLE.rule("argmin", when=takes("ArgMin"))
def _(x: ir.Value, *, axis: int, keepdims: bool) -> ir.Value:
    return emit("ArgMin", x, axis=axis, keepdims=int(keepdims))


@TABLE.rule("cumulative_sum", when=takes("CumSum"))
def _(x: ir.Value, *, axis: int, exclusive: bool, reverse: bool) -> ir.Value:
    return emit("CumSum", x, scalar(axis), exclusive=int(exclusive), reverse=int(reverse))


@TABLE.rule("cumulative_prod", when=takes("CumProd", version=26))
def _(x: ir.Value, *, axis: int, exclusive: bool, reverse: bool) -> ir.Value:
    return emit("CumProd", x, scalar(axis), exclusive=int(exclusive), reverse=int(reverse))
