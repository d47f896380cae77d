"""Sizes that only a call decides, as tensors: Keras's symbolic shapes say None where a model file needs a value.

A vector of ones as long as an axis is made from the axis itself; lengths that are expressions are put together from
such vectors. Whatever follows from them is an operation of the model, so that it is written to its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kxchange.dims import Call, Dim, DimExpr, evaluate
from kxchange.errors import BuildError

Tensor = Any
ops: Any = keras.ops


class Sizes:
    """The sizes of one function.

    Attributes:
        places: A tensor and an axis of it by dim.
    """

    def __init__(self) -> None:
        self.places: dict[DimExpr, tuple[Tensor, int]] = {}
        self._ones: dict[Dim, Tensor] = {}
        self._sizes: dict[Dim, Tensor] = {}
        self._zero: Tensor = None
        self._first: Tensor = None

    def note(self, x: Tensor, shape: Sequence[Dim]) -> None:
        """Remember where a symbolic size can be read."""
        if self._first is None:
            self._first = x
        for axis, dim in enumerate(shape):
            if isinstance(dim, DimExpr) and dim not in self.places:
                self.places[dim] = x, axis

    @property
    def zero(self) -> Tensor:
        """0 as a rank-0 int32 tensor that depends on an input: what depends on none is no part of a model.

        Raises:
            BuildError: There is no input.
        """
        if self._zero is None:
            if self._first is None:
                raise BuildError("a Keras model needs an input; this function has none.")
            x = self._first
            corner = ops.get_item(x, (slice(0, 1),) * len(x.shape)) if len(x.shape) else x
            zeros = ops.zeros_like(corner, dtype="int32")
            self._zero = ops.sum(zeros) if len(x.shape) else zeros
        return self._zero

    def anchored(self, array: np.ndarray) -> Tensor:
        """An array as a tensor that depends on an input, with the same bits."""
        always = ops.equal(self.zero, 0)
        if array.ndim:
            return ops.where(always, array, array)
        line = array.reshape(1)
        return ops.reshape(ops.where(always, line, line), ())

    def ones(self, dim: Dim) -> Tensor:
        """Ones of a dim's length, int32.

        Raises:
            BuildError: The length cannot be put together from the axes that are known.
        """
        if dim not in self._ones:
            self._ones[dim] = self._made(dim)
        return self._ones[dim]

    def count(self, dim: Dim) -> Tensor:
        """0, 1, 2 ... of a dim's length, int32: an array where the length is known."""
        if isinstance(dim, int):
            return np.arange(dim, dtype=np.int32)
        return ops.subtract(ops.cumsum(self.ones(dim), axis=0), 1)

    def size(self, dim: Dim) -> Tensor:
        """A dim as a rank-0 int32 tensor."""
        if dim not in self._sizes:
            if isinstance(dim, DimExpr) and (dim in self.places or dim.lone_atom() is not None):
                self._sizes[dim] = self._measured(dim)
            else:
                known = _Known(self)
                self._sizes[dim] = evaluate(dim, known, maximum=ops.maximum, minimum=ops.minimum)
        return self._sizes[dim]

    def _measured(self, dim: DimExpr) -> Tensor:
        atom = dim.lone_atom()
        if dim not in self.places and isinstance(atom, Call):
            first, *rest = [
                self.size(operand) if isinstance(operand, DimExpr) else operand for operand in atom.operands
            ]
            if atom.kind == "floordiv":
                return ops.floor_divide(first, rest[0])
            if atom.kind == "mod":
                return ops.mod(first, rest[0])
            for other in rest:
                first = (ops.maximum if atom.kind == "max" else ops.minimum)(first, other)
            return first
        return ops.sum(self.ones(dim))

    def _made(self, dim: Dim) -> Tensor:
        if isinstance(dim, int):
            return np.ones(dim, np.int32)
        if dim in self.places:
            return _along(*self.places[dim])
        atom = dim.lone_atom()
        if isinstance(atom, Call) and atom.kind == "floordiv" and isinstance(atom.operands[1], int):
            divisor = atom.operands[1]
            return ops.get_item(self.ones(atom.operands[0]), (slice(divisor - 1, None, divisor),))
        if isinstance(atom, Call) and atom.kind in ("max", "min") and len(atom.operands) == 2:
            first, limit = atom.operands
            if atom.kind == "max" and limit == 0:  # a cut beyond the end leaves nothing
                return self.ones(first)
            if atom.kind == "min" and isinstance(limit, int):
                return ops.get_item(self.ones(first), (slice(0, limit),))
        if isinstance(atom, str) and (line := self._solved(atom)) is not None:
            return line
        if atom is None:
            return self._sum(dim)
        raise BuildError(f"keras cannot make a tensor as long as {dim}: no axis has that size. Give it a fixed size.")

    def _solved(self, name: str) -> Tensor:
        """Ones of a symbol's length, from an axis that is a multiple of it and a number more or less."""
        for dim, (x, axis) in self.places.items():
            if len(dim.terms) != 1 or dim.terms[0][0] != ((name, 1),) or dim.terms[0][1] < 1:
                continue
            line, more = _along(x, axis), dim.constant
            if more < 0:
                line, more = ops.concatenate([np.ones(-more, np.int32), line], axis=0), 0
            return ops.get_item(line, (slice(more, None, dim.terms[0][1]),))
        return None

    def _sum(self, dim: DimExpr) -> Tensor:
        """A polynomial: its positive terms one behind the other, without as many as a negative constant says."""
        parts: list[Tensor] = []
        for monomial, coefficient in dim.terms:
            if coefficient < 0:
                raise BuildError(f"keras cannot make a tensor as long as {dim}. Give it a fixed size.")
            parts += [self._product(monomial)] * coefficient
        if dim.constant > 0:
            parts.append(np.ones(dim.constant, np.int32))
        joined = ops.concatenate(parts, axis=0) if len(parts) > 1 else parts[0]
        return joined if dim.constant >= 0 else ops.get_item(joined, (slice(-dim.constant, None),))

    def _product(self, monomial: Any) -> Tensor:
        result: Tensor = None
        for atom, exponent in monomial:
            vector = self.ones(DimExpr(((((atom, 1),), 1),), 0))
            for _ in range(exponent):
                if result is None:
                    result = vector
                else:
                    square = ops.multiply(ops.expand_dims(result, 1), ops.expand_dims(vector, 0))
                    result = ops.reshape(square, (-1,))
        return result


class _Known(dict[str, Any]):
    """Size by symbol, read where an input has it."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self._sizes = sizes

    def __getitem__(self, name: str) -> Any:
        from kxchange.dims import symbol

        return self._sizes.size(symbol(name))


def _along(x: Tensor, axis: int) -> Tensor:
    """Ones along one axis of a tensor."""
    key = tuple(slice(None) if at == axis else slice(0, 1) for at in range(len(x.shape)))
    line = ops.get_item(x, key) if len(x.shape) > 1 else x
    flat = ops.reshape(line, (-1,)) if len(x.shape) > 1 else line
    return ops.ones_like(flat, dtype="int32")
