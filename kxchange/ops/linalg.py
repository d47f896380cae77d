"""Matrix products: matmul, linear."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxchange.errors import TypeInferenceError
from kxchange.ops.arithmetic import add
from kxchange.ops.manipulation import permute_dims
from kxchange.ops.operands import require_numeric, require_rank, same_dtype
from kxchange.shapes import broadcast_shapes, require_equal
from kxchange.spec import Tensor, op
from kxchange.types import TensorType

silent: Any = np.errstate(all="ignore")


@op
@silent
def matmul(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Matrix product over the last two axes: ``sum over k of x1[..., i, k] * x2[..., k, j]``.

    A 1-D operand is a row on the left or a column on the right, without that axis in the result (trap R16).

    Args:
        x1: [..., rows, inner] or [inner]; any numeric dtype.
        x2: [..., inner, columns] or [inner].

    Returns:
        [..., rows, columns], leading axes broadcast; zeros where inner is 0 (trap R20). Integers wrap in their dtype.
    """
    return np.matmul(x1, x2)


@matmul.infer
def _(x1: TensorType, x2: TensorType, /) -> TensorType:
    same_dtype(x1, x2)
    require_numeric(x1, "matrices")
    if x1.rank == 0 or x2.rank == 0:
        raise TypeInferenceError("matrices need at least one axis; use multiply for a scalar.")
    require_equal(x1.shape[-1], x2.shape[-2 if x2.rank > 1 else -1], "inner sizes differ")
    batch = broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    rows = x1.shape[-2:-1] if x1.rank > 1 else ()
    columns = x2.shape[-1:] if x2.rank > 1 else ()
    return x1.with_shape((*batch, *rows, *columns))


@op
@silent
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, /) -> Tensor:
    """A dense layer: ``x @ weight.T + bias`` (trap T11: the weight is out, in).

    Args:
        x: [..., in].
        weight: [out, in].
        bias: [out].

    Returns:
        [..., out].
    """
    product = np.matmul(x, weight.T)
    return product if bias is None else product + bias


@linear.infer
def _(x: TensorType, weight: TensorType, bias: TensorType | None, /) -> TensorType:
    same_dtype(x, weight, bias)
    require_numeric(x, "x")
    require_rank(weight, "weight", 2)
    if x.rank == 0:
        raise TypeInferenceError("x needs at least one axis.")
    require_equal(weight.shape[1], x.shape[-1], "weight does not take the last axis of x")
    if bias is not None:
        require_rank(bias, "bias", 1)
        require_equal(weight.shape[0], bias.shape[0], "bias does not fit weight")
    return x.with_shape((*x.shape[:-1], weight.shape[0]))


@linear.decompose
def _(x: Tensor, weight: Tensor, bias: Tensor | None, /) -> Tensor:
    product = matmul(x, permute_dims(weight, axes=(1, 0)))
    return product if bias is None else add(product, bias)
