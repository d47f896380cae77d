"""One sample application of an op, and the generators of its operands."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.dims import Dim, DimExpr, evaluate, parse_dim
from kxchange.types import DType, TensorType

Array = NDArray[Any]
Size = int | tuple[str, int]
"""A concrete size, or the text of a dim expression with the size it takes in the sample."""
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

FLOATING = (DType.FLOAT64, DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)
"""Floating dtypes that a sample is run in unless it names others."""


@dataclass(frozen=True, slots=True)
class Operand:
    """How to make one operand.

    Attributes:
        sizes: One size per axis; symbolic axes are pairs such as ``("batch", 3)`` or ``("2*n", 6)``.
        draw: Makes the values, in float64 where the dtype is floating.
        dtype: Element type; None takes the floating dtype that the sample is run in.
    """

    sizes: tuple[Size, ...]
    draw: Draw
    dtype: DType | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the sample."""
        return tuple(size if isinstance(size, int) else size[1] for size in self.sizes)

    def type(self, floating: DType, *, symbolic: bool = False) -> TensorType:
        """Element type and shape, with or without the names of the symbolic axes."""
        dims = tuple(size if isinstance(size, int) else parse_dim(size[0]) for size in self.sizes)
        return TensorType(self.dtype or floating, dims if symbolic else self.shape)

    def array(self, seed: Sequence[int], floating: DType) -> Array:
        """The values: the same for the same seed, rounded from float64 to the floating dtype."""
        drawn = self.draw(np.random.default_rng(list(seed)), self.shape)
        with np.errstate(over="ignore"):
            return np.asarray(drawn).reshape(self.shape).astype((self.dtype or floating).numpy)


@dataclass(frozen=True)
class Sample:
    """One application of an op that every implementation of the op is held to.

    Attributes:
        op: Name of the op.
        operands: Generators; None for an absent optional operand.
        attrs: Attributes; dims may be symbolic.
        dims: Sizes of symbols; those of plain symbolic axes of the operands are added.
        dtypes: Floating dtypes to run in; one entry is enough where no operand or attribute is floating.
        differentiable: Whether gradients may be compared here; None takes the op's own answer.
        note: Trap identifier (``"A07"``) or the case in a word.
        index: Position among the op's samples; part of the seed.
    """

    op: str
    operands: tuple[Operand | None, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    dims: Mapping[str, int] = field(default_factory=dict[str, int])
    dtypes: tuple[DType, ...] = FLOATING
    differentiable: bool | None = None
    note: str = ""
    index: int = 0

    @property
    def id(self) -> str:
        """Name for test reports."""
        return f"{self.op}-{self.index}" + (f"-{self.note}" if self.note else "")

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The size of every symbol."""
        pairs = [size for operand in self.operands if operand for size in operand.sizes if isinstance(size, tuple)]
        sizes = {**{name: size for name, size in pairs if name.isidentifier()}, **self.dims}
        for text, size in pairs:
            if evaluate(parse_dim(text), sizes) != size:
                raise ValueError(f"sample {self.id}: {text} is {evaluate(parse_dim(text), sizes)}, not {size}")
        return sizes

    @property
    def symbolic(self) -> bool:
        """Whether any axis or attribute has a name."""
        return bool(self.sizes)

    def arrays(self, floating: DType = DType.FLOAT64) -> tuple[Array | None, ...]:
        """The operands, made from a seed of the op's name, the sample's and the operand's position."""
        seed = zlib.crc32(self.op.encode())
        return tuple(
            None if operand is None else operand.array((seed, self.index, position), floating)
            for position, operand in enumerate(self.operands)
        )

    def types(self, floating: DType = DType.FLOAT64, *, symbolic: bool = False) -> tuple[TensorType | None, ...]:
        """The operands' types."""
        return tuple(None if o is None else o.type(floating, symbolic=symbolic) for o in self.operands)

    def attributes(self, *, symbolic: bool = False, floating: DType = DType.FLOAT64) -> dict[str, Any]:
        """The attributes, their dims as ints unless `symbolic`; `FLOAT` stands for the dtype that is run in."""
        swapped = {name: _swap_dtype(value, floating) for name, value in self.attrs.items()}
        return swapped if symbolic else {name: resolve(value, self.sizes) for name, value in swapped.items()}


FLOAT = "floating dtype under test"
"""Attribute value that stands for the floating dtype the sample is run in."""


def _swap_dtype(value: Any, floating: DType) -> Any:
    return floating if value is FLOAT else value


def resolve(value: Any, sizes: Mapping[str, int]) -> Any:
    """An attribute value with every dim in it evaluated."""
    if isinstance(value, tuple):
        return tuple(resolve(item, sizes) for item in value)  # pyright: ignore[reportUnknownVariableType]
    return evaluate(value, sizes) if isinstance(value, DimExpr) else value


def dim(text: str) -> Dim:
    """A dim expression for an attribute: ``dim("2*batch")``."""
    return parse_dim(text)


def normal(*sizes: Size, scale: float = 1.0, mean: float = 0.0, dtype: DType | str | None = None) -> Operand:
    """Normally distributed values; complex where `dtype` is."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        real = generator.standard_normal(shape) * scale + mean
        is_complex = dtype is not None and DType(dtype).is_complex
        return real + 1j * scale * generator.standard_normal(shape) if is_complex else real

    return Operand(sizes, draw, _dtype(dtype))


def uniform(low: float, high: float, *sizes: Size, dtype: DType | str | None = None) -> Operand:
    """Uniformly distributed values in [low, high)."""
    return Operand(sizes, lambda generator, shape: generator.uniform(low, high, shape), _dtype(dtype))


def integers(low: int, high: int, *sizes: Size, dtype: DType | str = DType.INT64) -> Operand:
    """Integers in [low, high)."""
    return Operand(sizes, lambda generator, shape: generator.integers(low, high, shape), DType(dtype))


def booleans(*sizes: Size) -> Operand:
    """True and False with equal chance."""
    return Operand(sizes, lambda generator, shape: generator.random(shape) < 0.5, DType.BOOL)


def distinct(*sizes: Size, scale: float = 1.0, dtype: DType | str | None = None) -> Operand:
    """A shuffled range around 0 times `scale`: no two values tie, in any dtype that holds them."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        count = int(np.prod(shape, dtype=np.int64))
        return (generator.permutation(count) - count // 2).reshape(shape) * scale

    return Operand(sizes, draw, _dtype(dtype))


def values(items: Any, dtype: DType | str | None = None, *, sizes: Sequence[Size] | None = None) -> Operand:
    """Exactly these values, a nested list; `sizes` names symbolic axes. Booleans need no dtype."""
    exact = np.asarray(items) if dtype is None else np.asarray(items, dtype=_exact(DType(dtype)))
    known = DType.BOOL if exact.dtype == np.bool_ else _dtype(dtype)
    return Operand(tuple(sizes) if sizes is not None else exact.shape, lambda _generator, _shape: exact, known)


def _exact(dtype: DType) -> Any:
    return np.float64 if dtype.is_floating else dtype.numpy


def _dtype(dtype: DType | str | None) -> DType | None:
    return None if dtype is None else DType(dtype)
