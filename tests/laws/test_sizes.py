"""Law: a file fits in the head (400 lines), a function on the screen (40). What is over has a reason written here."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 40

# path, or path::function -> why it is one piece. An entry that is no longer over its limit fails.
EXEMPT: dict[str, str] = {}


def lengths(path: str, tree: ast.Module) -> dict[str, int]:
    """`path::qualified.name` -> lines from `def` to the end without the docstring; inner functions count."""
    found: dict[str, int] = {}

    def visit(node: ast.AST, scope: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                visit(child, scope)
                continue
            name = (*scope, child.name)
            if not isinstance(child, ast.ClassDef):
                # Rules are all called `_`: the line tells them apart, the longest of one name counts.
                key = f"{path}::{'.'.join(name)}"
                found[key] = max(
                    found.get(key, 0), (child.end_lineno or child.lineno) - child.lineno + 1 - docstring_lines(child)
                )
            visit(child, name)

    visit(tree, ())
    return found


def docstring_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(function) is None:
        return 0
    return (function.body[0].end_lineno or 0) - function.body[0].lineno + 1


def over(sizes: Mapping[str, int], limit: int, exempt: Mapping[str, str]) -> list[str]:
    return sorted(
        f"{key}: {lines} lines, {limit} allowed" for key, lines in sizes.items() if lines > limit and key not in exempt
    )


def test_files_are_short(root: Path, trees: Mapping[str, ast.Module]) -> None:
    sizes = {path: len((root / path).read_text(encoding="utf-8").splitlines()) for path in trees}
    assert not over(sizes, FILE_LINES, EXEMPT)


def test_functions_are_short(trees: Mapping[str, ast.Module]) -> None:
    sizes: dict[str, int] = {}
    for path, tree in trees.items():
        sizes |= lengths(path, tree)
    assert not over(sizes, FUNCTION_LINES, EXEMPT)


def test_exemptions_are_needed_and_reasoned(root: Path, trees: Mapping[str, ast.Module]) -> None:
    limits = {key: FUNCTION_LINES if "::" in key else FILE_LINES for key in EXEMPT}
    sizes = {path: len((root / path).read_text(encoding="utf-8").splitlines()) for path in trees}
    for path, tree in trees.items():
        sizes |= lengths(path, tree)
    assert not [key for key, limit in limits.items() if sizes.get(key, 0) <= limit], "no longer needed"
    assert not [key for key, reason in EXEMPT.items() if len(reason.split()) < 4], "a reason is a sentence"


def test_a_long_function_is_found() -> None:
    body = "\n".join("        x = 1" for _ in range(FUNCTION_LINES))
    tree = ast.parse(f"class A:\n    def long(self):\n{body}\n    def short(self):\n        pass\n")
    assert over(lengths("a.py", tree), FUNCTION_LINES, {}) == ["a.py::A.long: 41 lines, 40 allowed"]
    assert not over(lengths("a.py", tree), FUNCTION_LINES, {"a.py::A.long": "a table"})
