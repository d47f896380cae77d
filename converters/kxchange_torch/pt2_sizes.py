"""Symbolic sizes of a `.pt2` program: the expressions it prints, read by a parser that knows sizes and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import sympy
import torch

from kxchange.errors import FormatError
from kxchange_torch.private import fake_mode, size_functions, symbolic_number
from kxchange_torch.pt2_tensors import DTYPES, MAX_RANK

MAX_TEXT = 4096
MAX_NUMBER = 2**63
MAX_EXPONENT = 16
PLAIN: dict[str, Any] = {
    name: getattr(sympy, name)
    for name in [
        "Add",
        "Mul",
        "Pow",
        "Max",
        "Min",
        "Mod",
        "floor",
        "ceiling",
        "And",
        "Or",
        "Not",
        "Equality",
        "Unequality",
        "Eq",
        "Ne",
        "Ge",
        "Gt",
        "Le",
        "Lt",
        "GreaterThan",
        "StrictGreaterThan",
        "LessThan",
        "StrictLessThan",
    ]
}
INFIX: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
}


class Pt2Sizes:
    """Reads sizes and tensor types of one program into one solver.

    Attributes:
        symbols: sympy symbol by its name in the file.
        mode: Makes tensors without data.
    """

    def __init__(self, ranges: Mapping[str, Any]) -> None:
        """Read sizes over symbols that have these ranges."""
        self.ranges = ranges
        self.symbols: dict[str, sympy.Symbol] = {}
        self.mode = fake_mode()
        self._functions = PLAIN | size_functions()
        self._numbers: dict[tuple[str, Any], Any] = {}

    def size(self, record: Mapping[str, Any]) -> Any:
        """An int, float or bool, or a symbolic one.

        Raises:
            FormatError: It is none that the schema knows.
        """
        (kind, value), *rest = record.items() if isinstance(record, Mapping) and record else [("", {})]
        if rest or kind not in ("as_int", "as_expr", "as_bool", "as_float"):
            raise FormatError(f"the program has the size {str(record)[:80]}, which is none of the schema's.")
        if kind != "as_expr":
            return _plain(value)
        hint = value.get("hint")
        return self._symbolic(value["expr_str"], _plain(next(iter(hint.values()))) if hint else None)

    def tensor(self, meta: Mapping[str, Any]) -> torch.Tensor:
        """A tensor of the recorded type, without data."""
        dtype = DTYPES.get(meta["dtype"])
        sizes, strides = ([self.size(item) for item in meta[key]] for key in ("sizes", "strides"))
        if dtype is None or len(sizes) > MAX_RANK or len(sizes) != len(strides):
            raise FormatError(f"the program has a tensor of element type {meta['dtype']!r}, rank {len(sizes)}.")
        if any(isinstance(size, int) and not 0 <= size < 2**48 for size in sizes):
            raise FormatError(f"the program has a tensor of sizes {sizes}, which none can have.")
        with self.mode:
            return torch.empty_strided(sizes, strides, dtype=dtype)

    def expression(self, text: Any) -> sympy.Basic:
        """The sympy expression that `text` prints.

        Raises:
            FormatError: It is longer or says more than a size can.
        """
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            raise FormatError("a symbolic size of the program is no text, or too long.")
        try:
            return self._read(ast.parse(text, mode="eval").body)
        except (
            SyntaxError,
            ValueError,
            RecursionError,
            MemoryError,
            TypeError,
            AttributeError,
            LookupError,
            ArithmeticError,
        ):
            raise FormatError(f"the symbolic size {text[:120]!r} cannot be read.") from None

    def _symbolic(self, text: str, hint: Any) -> Any:
        key = text, hint
        if key not in self._numbers:
            self._numbers[key] = symbolic_number(self.mode, self.expression(text), hint, self.ranges)
        return self._numbers[key]

    def _read(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Constant):
            return sympy.Integer(_plain(node.value)) if type(node.value) is int else _unknown(node)
        if isinstance(node, ast.Name):
            return {"true": sympy.true, "false": sympy.false}.get(node.id) or self._symbol(node.id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._read(node.operand)
        if isinstance(node, ast.BinOp):
            operation = INFIX.get(type(node.op)) or self._functions["FloorDiv" * isinstance(node.op, ast.FloorDiv)]
            return operation(self._read(node.left), self._read(node.right))
        if not isinstance(node, ast.Call):
            return _unknown(node)
        return self._call(node.func.attr if isinstance(node.func, ast.Attribute) else _identifier(node.func), node)

    def _call(self, name: str, node: ast.Call) -> Any:
        if name == "Symbol":
            first = node.args[0]
            return self._symbol(first.value if isinstance(first, ast.Constant) else "")
        args = [self._read(argument) for argument in node.args]
        if name == "Integer":
            return args[0]
        if name == "Rational":
            return sympy.Rational(*args)
        function = self._functions.get(name)
        if function is None or node.keywords:
            return _unknown(node)
        if "Pow" in name and not (args[1].is_Integer and abs(int(args[1])) <= MAX_EXPONENT):
            return _unknown(node)
        return function(*args)

    def _symbol(self, name: Any) -> sympy.Symbol:
        if not isinstance(name, str) or not name.isidentifier() or len(name) > 64:
            raise ValueError(name)
        if name not in self.symbols:
            unbacked = name.startswith("u")
            self.symbols[name] = sympy.Symbol(name, integer=True, **({} if unbacked else {"positive": True}))
        return self.symbols[name]


def _identifier(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _unknown(node: ast.AST) -> Any:
    raise ValueError(ast.dump(node)[:80])


def _plain(value: Any) -> Any:
    if type(value) not in (int, float, bool) or abs(value) > MAX_NUMBER:
        raise FormatError(f"the program has the number {str(value)[:40]}, which is out of range.")
    return value
