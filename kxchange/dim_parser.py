"""Reads the printed form of a dim, with limits: dims come from files and command lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from kxchange.dim_algebra import Dim, dim_max, dim_min, floor_divide, modulo, symbol
from kxchange.dim_polynomial import MAX_COEFFICIENT
from kxchange.dim_text import MAX_EXPONENT
from kxchange.errors import DimError

MAX_TEXT = 1024
MAX_NESTING = 64
MAX_PARSED_TERMS = MAX_TEXT // 2  # no normal form that prints in MAX_TEXT characters has more
_TOKEN = re.compile(r"[ \t]*([A-Za-z_][A-Za-z0-9_.]*|[0-9]+|\*\*|//|[-+*%(),])")
_FUNCTIONS: dict[str, Callable[..., Dim]] = {"max": dim_max, "min": dim_min, "floordiv": floor_divide, "mod": modulo}


@lru_cache(maxsize=4096)
def parse_dim(text: str) -> Dim:
    """Read a dim: ints, names, ``+ - * // % **``, parentheses and ``max min floordiv mod`` calls.

    Precedence is Python's. ``parse_dim(str(dim)) == dim`` for every dim that prints in 1024 characters.

    Raises:
        DimError: The text is not a dim, or exceeds 1024 characters, 64 nested parentheses or an exponent of 8.
    """
    if len(text) > MAX_TEXT:
        raise DimError(f"A dimension of {len(text)} characters is too long (limit {MAX_TEXT}): {text[:40]!r}...")
    return _Parser(text).parse()


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._tokenize(text.rstrip(" \t"))
        self.position = 0
        self.depth = 0

    def _tokenize(self, text: str) -> list[str]:
        tokens: list[str] = []
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._error(f"unexpected character {text[position:].lstrip()[:1]!r}")
            tokens.append(match[1])
            position = match.end()
        return tokens

    def parse(self) -> Dim:
        result = self._sum()
        if self.position < len(self.tokens):
            raise self._error(f"unexpected {self.tokens[self.position]!r}")
        return result

    def _peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self.position += 1
        return token

    def _expect(self, token: str) -> None:
        found = self._next()
        if found != token:
            raise self._error(f"expected {token!r}, found {found!r}" if found else f"expected {token!r} at the end")

    def _error(self, reason: str) -> DimError:
        return DimError(f"Cannot read the dimension {self.text[:80]!r}: {reason}. Write one like '2*seq+1' or 'h//2'.")

    def _bounded(self, dim: Dim) -> Dim:
        if isinstance(dim, int):
            if not -MAX_COEFFICIENT <= dim <= MAX_COEFFICIENT:
                raise self._error("a number does not fit into 64 bits")
        elif len(dim.terms) > MAX_PARSED_TERMS:
            raise self._error(f"it expands to more than {MAX_PARSED_TERMS} terms")
        return dim

    def _sum(self) -> Dim:
        result = self._product()
        while (operator := self._peek()) in ("+", "-"):
            self.position += 1
            right = self._product()
            result = self._bounded(result + right if operator == "+" else result - right)
        return result

    def _product(self) -> Dim:
        result = self._signed()
        while (operator := self._peek()) in ("*", "//", "%"):
            self.position += 1
            right = self._signed()
            if operator == "*":
                result = self._bounded(result * right)
            else:
                result = self._bounded((floor_divide if operator == "//" else modulo)(result, right))
        return result

    def _signed(self) -> Dim:
        negative = False
        while self._peek() == "-":
            self.position += 1
            negative = not negative
        result = self._power()
        return -result if negative else result

    def _power(self) -> Dim:
        base = self._primary()
        if self._peek() != "**":
            return base
        self.position += 1
        exponent = self._next()
        if not exponent.isdigit() or len(exponent) > 1 or int(exponent) > MAX_EXPONENT:
            raise self._error(f"an exponent is an int from 0 to {MAX_EXPONENT}, not {exponent!r}")
        result: Dim = 1
        for _ in range(int(exponent)):
            result = self._bounded(result * base)
        return result

    def _primary(self) -> Dim:
        token = self._next()
        if token == "(":
            result = self._nested()
            self._expect(")")
            return result
        if token[:1].isdigit():
            return self._number(token)
        if token[:1].isalpha() or token[:1] == "_":
            return self._call(token) if self._peek() == "(" else symbol(token)
        raise self._error(f"unexpected {token!r}" if token else "it ends too early")

    def _number(self, token: str) -> int:
        if len(token) > 19 or (token[0] == "0" and len(token) > 1):
            raise self._error(f"the number {token[:24]!r} is too long or starts with 0")
        self._bounded(int(token))
        return int(token)

    def _nested(self) -> Dim:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self._error(f"parentheses are nested deeper than {MAX_NESTING}")
        result = self._sum()
        self.depth -= 1
        return result

    def _call(self, name: str) -> Dim:
        function = _FUNCTIONS.get(name)
        if function is None:
            raise self._error(f"there is no function {name!r}, only max, min, floordiv and mod")
        self._expect("(")
        arguments = [self._nested()]
        while self._peek() == ",":
            self.position += 1
            arguments.append(self._nested())
        self._expect(")")
        if len(arguments) < 2 or (len(arguments) > 2 and name in ("floordiv", "mod")):
            raise self._error(f"{name} does not take {len(arguments)} arguments")
        return self._bounded(function(*arguments))
