"""Integer polynomials over symbols and opaque calls, in normal form: the ring below symbolic dimensions.

An atom is a symbol name or a `Call` (`floordiv`, `mod`, `max`, `min` of dims). A polynomial keeps its terms sorted by
falling degree, then by name, so two polynomials are equal exactly where their normal forms are.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar

from kxchange.dim_text import format_call, format_dim
from kxchange.errors import DimError

if TYPE_CHECKING:
    from kxchange.dim_algebra import Dim

MAX_TERMS = 4096
MAX_PAIRS = 4 * MAX_TERMS
MAX_DEGREE = 64
MAX_DEPTH = 31
MAX_CALL_TEXT = 1024
MAX_COEFFICIENT = 2**63 - 1

CallKind = Literal["floordiv", "mod", "max", "min"]


class Call:
    """An opaque factor of a polynomial: a floor division, a remainder, a maximum or a minimum.

    Attributes:
        kind: Which function.
        operands: Its operands, in normal form.
        text: The printed form, unique to this call.
        depth: How deep calls are nested here, 1 for none inside.
    """

    __slots__ = ("depth", "kind", "operands", "text")

    def __init__(self, kind: CallKind, operands: tuple[Dim, ...]) -> None:
        self.kind: CallKind = kind
        self.operands = operands
        self.depth: int = 1 + max(0 if isinstance(dim, int) else dim.depth for dim in operands)
        self.text = format_call(kind, operands)
        if self.depth > MAX_DEPTH or len(self.text) > MAX_CALL_TEXT:
            raise DimError(
                f"A dimension cannot nest this deep: {self.text[:60]}... Name the inner size as a dim instead."
            )

    def __eq__(self, other: object) -> bool:
        return type(other) is Call and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[Any, ...]:
        return Call, (self.kind, self.operands)

    def __repr__(self) -> str:
        return f"Call({self.text})"


Atom = str | Call
Monomial = tuple[tuple[Atom, int], ...]
Terms = tuple[tuple[Monomial, int], ...]


class Polynomial:
    """A polynomial that is not a constant: immutable and in normal form; a constant result is an `int`.

    Attributes:
        terms: Monomials with their coefficients, sorted, none of them 0; never empty.
        constant: The constant term.
    """

    __array_ufunc__ = None  # so that a NumPy integer on the left leaves the operation to this class
    __slots__ = ("_hash", "_text", "constant", "terms")

    def __init__(self, terms: Terms, constant: int) -> None:
        if not -MAX_COEFFICIENT <= constant <= MAX_COEFFICIENT:
            raise DimError(f"A dimension's constant {constant} does not fit into 64 bits.")
        self.terms = terms
        self.constant = constant
        self._hash = 0
        self._text: str | None = None

    @property
    def depth(self) -> int:
        """How deep calls are nested: 0 for a polynomial of symbols."""
        return max(0 if isinstance(atom, str) else atom.depth for monomial, _ in self.terms for atom, _ in monomial)

    @classmethod
    def of(cls, terms: Iterable[tuple[Monomial, int]], constant: int) -> Self | int:
        """The normal form of distinct monomials with coefficients, in any order; zero coefficients are dropped."""
        kept = [term for term in terms if term[1]]
        if not kept:
            return constant
        if len(kept) > MAX_TERMS:
            raise DimError(
                f"A dimension of {len(kept)} terms is too large (limit {MAX_TERMS}); name parts of it as dims."
            )
        if any(not -MAX_COEFFICIENT <= c <= MAX_COEFFICIENT for _, c in kept):
            raise DimError("A dimension's coefficient does not fit into 64 bits.")
        if len(kept) > 1:
            kept.sort(key=order)
        return cls(tuple(kept), constant)

    def lone_atom(self) -> Atom | None:
        """The atom that this dim is, where it is nothing else."""
        if self.constant or len(self.terms) != 1:
            return None
        (monomial, coefficient) = self.terms[0]
        return monomial[0][0] if coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1 else None

    def __add__(self, other: Self | int) -> Self | int:
        if type(other) is int:
            return type(self)(self.terms, self.constant + other) if other else self
        if isinstance(other, Polynomial):
            return _add(self, other)
        number = as_integer(other)
        return NotImplemented if number is None else self + number

    __radd__ = __add__

    def __neg__(self) -> Self:
        return type(self)(tuple((m, -c) for m, c in self.terms), -self.constant)

    def __sub__(self, other: Self | int) -> Self | int:
        if type(other) is int:
            return type(self)(self.terms, self.constant - other) if other else self
        if isinstance(other, Polynomial):
            return _add(self, -other)
        number = as_integer(other)
        return NotImplemented if number is None else self + -number

    def __rsub__(self, other: int) -> Self | int:
        number = as_integer(other)
        return NotImplemented if number is None else -self + number

    def __mul__(self, other: Self | int) -> Self | int:
        if type(other) is int:
            return _scale(self, other)
        if isinstance(other, Polynomial):
            return _multiply(self, other)
        number = as_integer(other)
        return NotImplemented if number is None else _scale(self, number)

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return type(other) is type(self) and self.constant == other.constant and self.terms == other.terms

    def __hash__(self) -> int:
        if not self._hash:
            self._hash = hash((self.terms, self.constant)) or 1
        return self._hash

    def __str__(self) -> str:
        if self._text is None:
            self._text = format_dim(self)
        return self._text

    __repr__ = __str__

    def __reduce__(self) -> tuple[Any, ...]:
        # A cached hash must not travel: string hashes differ between processes.
        return type(self), (self.terms, self.constant)

    def _refuse_order(self, _other: object) -> NoReturn:
        raise TypeError(f"The dimension {self} is symbolic and has no order; use kxchange.dims.compare_ge or bounds.")

    __lt__ = __le__ = __gt__ = __ge__ = _refuse_order

    def _refuse_number(self) -> NoReturn:
        raise TypeError(
            f"The dimension {self} is symbolic and is no number; use kxchange.dims.evaluate with its symbols."
        )

    __bool__ = __index__ = __int__ = __float__ = _refuse_number


P = TypeVar("P", bound=Polynomial)


def order(term: tuple[Monomial, int]) -> tuple[int, tuple[tuple[str, int], ...]]:
    """Sort key of terms: graded lexicographic, which polynomial division relies on."""
    monomial = term[0]
    names = tuple((atom if isinstance(atom, str) else atom.text, -exponent) for atom, exponent in monomial)
    return -sum(e for _, e in monomial), names


def multiply_monomials(left: Monomial, right: Monomial) -> Monomial:
    """Product of two monomials; a degree above the limit is refused."""
    exponents = dict(left)
    for atom, exponent in right:
        exponents[atom] = exponents.get(atom, 0) + exponent
    if sum(exponents.values()) > MAX_DEGREE:
        raise DimError(f"A dimension cannot have a degree above {MAX_DEGREE}.")
    if len(exponents) == 1:
        return tuple(exponents.items())
    return tuple(sorted(exponents.items(), key=_atom_text))


def _atom_text(power: tuple[Atom, int]) -> str:
    atom = power[0]
    return atom if isinstance(atom, str) else atom.text


def as_integer(value: object) -> int | None:
    """Ints of any make, but nothing that merely converts: a tracer's size must not become a number here."""
    return int(value) if isinstance(value, Integral) else None


def _add(left: P, right: P) -> P | int:
    terms = dict(left.terms)
    for monomial, coefficient in right.terms:
        terms[monomial] = terms.get(monomial, 0) + coefficient
    return left.of(terms.items(), left.constant + right.constant)


def _scale(dim: P, factor: int) -> P | int:
    if factor == 1:
        return dim
    if factor == 0:
        return 0
    return dim.of([(m, c * factor) for m, c in dim.terms], dim.constant * factor)


def _multiply(left: P, right: P) -> P | int:
    if len(left.terms) * len(right.terms) > MAX_PAIRS:
        raise DimError(f"The product of {len(left.terms)} by {len(right.terms)} terms is too large for a dimension.")
    terms: dict[Monomial, int] = {}
    for m1, c1 in left.terms:
        for m2, c2 in right.terms:
            monomial = multiply_monomials(m1, m2)
            terms[monomial] = terms.get(monomial, 0) + c1 * c2
    for dim, constant in ((left, right.constant), (right, left.constant)):
        if constant:
            for monomial, coefficient in dim.terms:
                terms[monomial] = terms.get(monomial, 0) + coefficient * constant
    return left.of(terms.items(), left.constant * right.constant)
