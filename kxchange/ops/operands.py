"""What type rules demand of operands: one element type, a kind of element, a rank."""

from __future__ import annotations

from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.shapes import normalize_axis
from kxchange.types import DType, TensorType


def same_dtype(*types: TensorType | None) -> DType:
    """The element type that all the given operands have; absent ones are skipped.

    Raises:
        TypeInferenceError: Two differ; ops never promote.
    """
    dtypes = [type.dtype for type in types if type is not None]
    if len(set(dtypes)) > 1:
        listed = " and ".join(dict.fromkeys(dtype.value for dtype in dtypes))
        raise TypeInferenceError(f"the operands have different dtypes, {listed}. Cast them with astype first.")
    return dtypes[0]


def require_integer(type: TensorType, operand: str) -> None:
    """Demand an integer element type.

    Raises:
        TypeInferenceError: It is another.
    """
    if not type.dtype.is_integer:
        raise TypeInferenceError(f"{operand} must be integers, not {type.dtype.value}. Cast them with astype first.")


def require_numeric(type: TensorType, operand: str) -> None:
    """Demand numbers: anything but bool.

    Raises:
        TypeInferenceError: It is bool.
    """
    if type.dtype.is_bool:
        raise TypeInferenceError(f"{operand} must be numbers, not bool. Cast it with astype first.")


def require_floating(type: TensorType, operand: str) -> None:
    """Demand a real floating element type.

    Raises:
        TypeInferenceError: It is another.
    """
    if not type.dtype.is_floating:
        raise TypeInferenceError(f"{operand} must be floating, not {type.dtype.value}. Cast it with astype first.")


def require_rank(type: TensorType, operand: str, rank: int) -> None:
    """Demand exactly `rank` axes.

    Raises:
        TypeInferenceError: It has another number of axes.
    """
    if type.rank != rank:
        raise TypeInferenceError(f"{operand} must have {rank} axes, not {type.rank}.")


def axis_of(x: TensorType, axis: int) -> tuple[int, Dim]:
    """The axis counted from the front, and its size."""
    position = normalize_axis(axis, x.rank)
    return position, x.shape[position]


def replace_axis(x: TensorType, axis: int, size: Dim) -> TensorType:
    """The type with another size on one axis (counted from the front)."""
    return x.with_shape((*x.shape[:axis], size, *x.shape[axis + 1 :]))
