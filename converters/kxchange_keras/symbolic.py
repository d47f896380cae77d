"""What stands for tensors and sizes while a Keras model that is code is traced."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import keras
import numpy as np

from kxchange.constraints import Constraint
from kxchange.dims import Dim, DimExpr, compare_ge, evaluate
from kxchange.errors import CaptureError
from kxchange.graph import Value

ADVICE = "Give the input a fixed size there, or compute it with keras.ops."


class Sizes:
    """The sizes of one trace, and the branches that were taken on them.

    Args:
        examples: The size of every symbol in the example inputs, which decides branches.
    """

    def __init__(self, examples: Mapping[str, int]) -> None:
        self.examples = examples
        self.taken: list[Constraint] = []

    def __call__(self, dim: Dim) -> Any:
        """A dim as Python sees it."""
        return dim if isinstance(dim, int) else Size(dim, self)

    def compare(self, left: Dim, sign: str, right: Dim) -> bool:
        """The truth of a comparison; where it depends on sizes, that of the examples, as a constraint of the model.

        Raises:
            CaptureError: The examples say that two sizes differ, which is no constraint.
        """
        gap = left - right
        if isinstance(gap, int):
            return _ORDER[sign](gap, 0)
        if sign in ("==", "!="):
            return self._equal(left, right, gap) is (sign == "==")
        low, high = (left, right) if sign in (">=", "<") else (right, left)
        if compare_ge(low, high, {}):
            return sign in (">=", "<=")
        if compare_ge(high, low + 1, {}):
            return sign in ("<", ">")
        holds = evaluate(low, self.examples) >= evaluate(high, self.examples)
        self._keep(Constraint("at_least", *((low, high) if holds else (high, low + 1)), "a branch of the source"))
        return holds is (sign in (">=", "<="))

    def _equal(self, left: Dim, right: Dim, gap: DimExpr) -> bool:
        if compare_ge(gap, 1, {}) or compare_ge(0 - gap, 1, {}):
            return False
        if evaluate(gap, self.examples) == 0:
            self._keep(Constraint("equal", left, right, "a branch of the source"))
            return True
        if compare_ge(gap, 0, {}):
            self._keep(Constraint("at_least", left, right + 1, "a branch of the source"))
            return False
        raise CaptureError(f"it takes a branch that depends on whether the size {left} is {right}. {ADVICE}")

    def _keep(self, constraint: Constraint) -> None:
        if not any(known.says_same(constraint) for known in self.taken):
            self.taken.append(constraint)


_ORDER: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Size:
    """A symbolic size: to Python an int that does arithmetic and nothing else, to the graph an expression.

    It is no int to C code: what would bake it in (`range`, NumPy, the slices of an array) asks for `__index__`.
    """

    __slots__ = ("dim", "sizes")

    def __init__(self, dim: DimExpr, sizes: Sizes) -> None:
        self.dim = dim
        self.sizes = sizes

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        return int  # `isinstance(size, int)` is how models tell sizes from None

    def __hash__(self) -> int:
        return hash(self.dim)

    def __repr__(self) -> str:
        return str(self.dim)

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return str(self.dim)

    def __deepcopy__(self, memo: Any) -> Size:
        return self

    def __index__(self) -> NoReturn:
        raise CaptureError(f"it needs the size {self.dim} as a number. {ADVICE}")

    def __neg__(self) -> Any:
        return self.sizes(0 - self.dim)

    def __abs__(self) -> Any:
        return self if self.sizes.compare(self.dim, ">=", 0) else -self

    def __bool__(self) -> bool:
        return self != 0

    def __int__(self) -> NoReturn:
        raise CaptureError(f"it turns the size {self.dim} into a number. {ADVICE}")

    def __float__(self) -> NoReturn:
        raise CaptureError(f"it turns the size {self.dim} into a number. {ADVICE}")

    def __pow__(self, other: Any, modulo: Any = None) -> Any:
        if type(other) is int and 0 < other < 5 and modulo is None:
            found: Any = self
            for _ in range(other - 1):
                found = found * self
            return found
        raise CaptureError(f"it takes a power of the size {self.dim}. {ADVICE}")

    def __truediv__(self, other: Any) -> NoReturn:
        raise CaptureError(f"it divides the size {self.dim} into a fraction. {ADVICE}")

    __rtruediv__ = __truediv__

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other


def dim_of(item: Any) -> Any:
    """A size as the graph takes it; anything else as it is."""
    return item.dim if isinstance(item, Size) else item


def _whole(other: Any) -> Dim | None:
    if isinstance(other, Size):
        return other.dim  # before the next line, which it would pass too
    return int(other) if isinstance(other, int | np.integer) and not isinstance(other, bool) else None


def _arithmetic(name: str, compute: Callable[[Any, Any], Dim], *, turned: bool) -> Callable[[Size, Any], Any]:
    def method(self: Size, other: Any) -> Any:
        dim = _whole(other)
        if isinstance(other, float):
            raise CaptureError(f"it turns the size {self.dim} into a number. {ADVICE}")
        if dim is None:
            return NotImplemented
        return self.sizes(compute(dim, self.dim) if turned else compute(self.dim, dim))

    method.__name__ = name
    return method


def _comparison(sign: str) -> Callable[[Size, Any], Any]:
    def method(self: Size, other: Any) -> Any:
        dim = _whole(other)
        if dim is None:
            return False if sign == "==" else True if sign == "!=" else NotImplemented
        if sign in ("==", "!=") and sys._getframe(1).f_globals.get("__name__", "").startswith("keras.src."):
            return (self.dim == dim) is (sign == "==")  # Keras's own code is written for sizes that nobody knows
        return self.sizes.compare(self.dim, sign, dim)

    return method


for _name in ("add", "sub", "mul", "floordiv", "mod"):
    _compute = getattr(operator, _name)
    setattr(Size, f"__{_name}__", _arithmetic(f"__{_name}__", _compute, turned=False))
    setattr(Size, f"__r{_name}__", _arithmetic(f"__r{_name}__", _compute, turned=True))
for _name, _sign in {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
    setattr(Size, f"__{_name}__", _comparison(_sign))


class SymbolicTensor(keras.KerasTensor):
    """A tensor of the graph being made, as Keras's functions and layers take it; carries a mask as theirs do."""

    __array_ufunc__ = None  # so that NumPy arrays leave operators to it

    def __init__(self, value: Value, sizes: Sizes) -> None:
        """Wrap a value of the graph."""
        super().__init__((), dtype=value.dtype.value, record_history=False)
        self._shape = tuple(sizes(dim) for dim in value.shape)
        self._keras_mask: Any = None
        self.value = value

    def __len__(self) -> int:
        if not self._shape or isinstance(self._shape[0], Size):
            raise CaptureError(f"it asks for the length of a tensor of shape {self._shape}. {ADVICE}")
        return self._shape[0]

    def __iter__(self) -> Iterator[Any]:
        return iter([self[index] for index in range(len(self))])

    def __bool__(self) -> NoReturn:
        raise CaptureError("it takes a branch that depends on the values of a tensor. Use keras.ops.where or cond.")

    def __int__(self) -> NoReturn:
        raise CaptureError("it turns a tensor into a number.")

    def __float__(self) -> NoReturn:
        raise CaptureError("it turns a tensor into a number.")

    def astype(self, dtype: Any) -> Any:
        """The tensor in another dtype, as NumPy and JAX spell it."""
        return keras.ops.cast(self, dtype)

    @property
    def T(self) -> Any:  # noqa: N802 - NumPy's name
        """The tensor with its axes reversed."""
        return keras.ops.transpose(self)
