"""Symbolic dimensions: a dim is an int or a polynomial over symbols, `floordiv`, `mod`, `max` and `min`.

>>> h = symbol("h")
>>> ((h - 1) // 2 + 1 - 1) // 2 + 1
(h-1)//4+1
"""

from __future__ import annotations

from kxchange.dim_algebra import Dim, DimExpr, dim_max, dim_min, symbol
from kxchange.dim_exact import divide_exact
from kxchange.dim_parser import MAX_TEXT, parse_dim
from kxchange.dim_polynomial import Call
from kxchange.dim_ranges import Range, Ranges, bounds, compare_ge, is_nonnegative, simplify
from kxchange.dim_values import evaluate, substitute, symbols

__all__ = [
    "MAX_TEXT",
    "Call",
    "Dim",
    "DimExpr",
    "Range",
    "Ranges",
    "bounds",
    "compare_ge",
    "dim_max",
    "dim_min",
    "divide_exact",
    "evaluate",
    "is_nonnegative",
    "parse_dim",
    "simplify",
    "substitute",
    "symbol",
    "symbols",
]
