"""Exact division and common factors of polynomials: what cancels in a shape."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import gcd

from kxchange.dim_polynomial import Atom, Monomial, P, Polynomial, multiply_monomials, order

MAX_STEPS = 1024


def divide_exact(numerator: P | int, denominator: P | int) -> P | int | None:
    """The dim that times `denominator` is `numerator`, by multivariate polynomial division.

    Calls count as variables: ``divide_exact(4*(s//2), s//2)`` is 4. None where there is no such dim (or it has more
    than 1024 terms), and for a division by 0.
    """
    if isinstance(denominator, int):
        return _divide_coefficients(numerator, denominator)
    if isinstance(numerator, int):
        return 0 if numerator == 0 else None
    if numerator == denominator:
        return 1
    if len(denominator.terms) + bool(denominator.constant) > 1 and not _may_divide(numerator, denominator):
        return None
    return _divide_terms(numerator, denominator)


def common_factor(left: Polynomial | int, right: Polynomial | int) -> tuple[Monomial, int]:
    """The monomial and the non-negative int that divide every term of both."""
    if isinstance(left, int) or isinstance(right, int):
        return (), gcd(_content(left), _content(right))
    factor = gcd(_content(left), _content(right))
    if left.constant or right.constant:
        return (), factor
    shared = dict(left.terms[0][0])
    for monomial, _ in (*left.terms, *right.terms):
        exponents = dict(monomial)
        shared = {a: min(e, exponents[a]) for a, e in shared.items() if a in exponents}
    return tuple(shared.items()), factor


def cancel(dim: P | int, monomial: Monomial, factor: int) -> P | int:
    """Divide by a factor that `common_factor` found."""
    if isinstance(dim, int):
        return dim // factor
    terms = {divide_monomial(m, monomial) or (): c // factor for m, c in dim.terms}
    constant = terms.pop((), 0)
    return dim.of(terms.items(), constant + dim.constant // factor)


def divide_monomial(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    """The monomial without the factors of the divisor; None where it lacks one of them."""
    exponents = dict(monomial)
    for atom, exponent in divisor:
        left = exponents.get(atom, 0) - exponent
        if left < 0:
            return None
        exponents[atom] = left
    return tuple((atom, exponent) for atom, exponent in exponents.items() if exponent)


def _divide_terms(numerator: P, denominator: P) -> P | int | None:
    """Long division by the leading term, largest remaining term first."""
    rest = _all_terms(numerator)
    pending = [(order(term), term[0]) for term in rest.items()]
    heapify(pending)
    (lead, lead_coefficient), *others = _all_terms(denominator).items()
    quotient: dict[Monomial, int] = {}
    while pending:
        monomial = heappop(pending)[1]
        coefficient = rest.pop(monomial)
        factor = divide_monomial(monomial, lead) if coefficient else ()
        if factor is None or coefficient % lead_coefficient or len(quotient) > MAX_STEPS:
            return None
        share = coefficient // lead_coefficient
        if not share:
            continue
        quotient[factor] = share
        for other, weight in others:
            product = multiply_monomials(factor, other)
            if product not in rest:
                heappush(pending, (order((product, 0)), product))
            rest[product] = rest.get(product, 0) - share * weight
    constant = quotient.pop((), 0)
    return denominator.of(quotient.items(), constant)


def _may_divide(numerator: Polynomial, denominator: Polynomial) -> bool:
    """Whether the division works out at one point, which it hardly ever does by chance: it ends hopeless ones early."""
    point: dict[Atom, int] = {}
    below = _at_point(denominator, point)
    return below == 0 or _at_point(numerator, point) % below == 0


def _at_point(dim: Polynomial, point: dict[Atom, int]) -> int:
    total = dim.constant
    for monomial, coefficient in dim.terms:
        for atom, exponent in monomial:
            coefficient *= point.setdefault(atom, 1_000_003 + 7919 * len(point)) ** exponent
        total += coefficient
    return total


def _content(dim: Polynomial | int) -> int:
    """Greatest int that divides every coefficient."""
    return dim if isinstance(dim, int) else gcd(dim.constant, *(c for _, c in dim.terms))


def _divide_coefficients(dim: P | int, divisor: int) -> P | int | None:
    if divisor == 0:
        return None
    if isinstance(dim, int):
        return None if dim % divisor else dim // divisor
    if dim.constant % divisor or any(c % divisor for _, c in dim.terms):
        return None
    return dim.of([(m, c // divisor) for m, c in dim.terms], dim.constant // divisor)


def _all_terms(dim: Polynomial) -> dict[Monomial, int]:
    terms: dict[Monomial, int] = dict(dim.terms)
    if dim.constant:
        terms[()] = dim.constant
    return terms
