"""Law: the middle knows no backend, starts fast because it imports little, and its imports form no cycle."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

HEAVY = ("torch", "jax", "jaxlib", "tensorflow", "keras", "flax", "equinox", "onnx", "onnx_ir", "onnxruntime")


def imported_by(statements: str) -> set[str]:
    """The top-level modules that a fresh process holds after running the statements."""
    script = f"import sys, json\n{statements}\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def module_name(path: str) -> str:
    parts = path.removeprefix("converters/").removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def runtime_imports(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when the module does: not those in functions, not those for type checkers."""
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif isinstance(statement, ast.If):
            checking = ast.unparse(statement.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
            yield from runtime_imports(statement.orelse if checking else [*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            handlers = [inner for handler in statement.handlers for inner in handler.body]
            yield from runtime_imports([*statement.body, *handlers, *statement.orelse, *statement.finalbody])
        elif isinstance(statement, ast.With | ast.ClassDef):
            yield from runtime_imports(statement.body)


def import_graph(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Module -> the modules of `trees` it imports when it runs. That a package runs before its parts is not an edge."""
    modules = {module_name(path): (path, tree) for path, tree in trees.items()}
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, (path, tree) in modules.items():
        package = name if path.endswith("__init__.py") else name.rpartition(".")[0]
        for statement in runtime_imports(tree.body):
            graph[name] |= {target for target in targets(statement, package, set(modules)) if target != name}
    return graph


def targets(statement: ast.Import | ast.ImportFrom, package: str, modules: set[str]) -> Iterator[str]:
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names if alias.name in modules)
        return
    origin = statement.module or ""
    if statement.level:
        above = package.split(".")[: len(package.split(".")) - statement.level + 1]
        origin = ".".join([*above, *filter(None, [origin])])
    for alias in statement.names:
        found = f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in modules else origin
        if found in modules:
            yield found


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("prefix", ["kxchange/", "converters/"])
def test_imports_form_no_cycle(trees: Mapping[str, ast.Module], prefix: str) -> None:
    assert cycle(import_graph({path: tree for path, tree in trees.items() if path.startswith(prefix)})) == []


def test_the_middle_imports_no_converter(trees: Mapping[str, ast.Module]) -> None:
    own = {path: tree for path, tree in trees.items() if path.startswith("kxchange/")}
    found = {
        path for path, tree in own.items() for node in runtime_imports(tree.body) if "kxchange_" in ast.unparse(node)
    }
    assert not found


def test_the_public_package_starts_light() -> None:
    assert not imported_by("import kxchange") & {*HEAVY, "numpy", "click", "rich"}


IMPORT_EACH = """
import importlib
for name in {names!r}:
    importlib.import_module(name)
    found = sorted({heavy!r} & set(sys.modules))
    assert not found, f"{{name}} imports {{found}}"
"""

HELP = """
import kxchange.cli
sys.argv = ["kx", "--help"]
try:
    kxchange.cli.main()
except SystemExit as done:
    assert not done.code, done.code
"""


def test_no_module_of_the_middle_imports_a_backend(trees: Mapping[str, ast.Module]) -> None:
    names = sorted(module_name(path) for path in trees if path.startswith("kxchange/") and "__main__" not in path)
    assert "kxchange.graph" in names
    assert not imported_by(IMPORT_EACH.format(names=names, heavy=set(HEAVY))) & set(HEAVY)


def test_the_command_line_starts_without_a_backend(trees: Mapping[str, ast.Module]) -> None:
    if not any(module_name(path) == "kxchange.cli" for path in trees):
        pytest.skip("kxchange.cli does not exist yet")
    assert not imported_by(HELP) & set(HEAVY)


def test_a_converter_record_imports_nothing_heavy(trees: Mapping[str, ast.Module]) -> None:
    names = sorted(module_name(path) for path in trees if path.startswith("converters/") and path.count("/") == 2)
    records = [name for name in names if "." not in name]
    assert records
    assert not imported_by("\n".join(f"import {name}" for name in records)) & set(HEAVY)


def test_a_cycle_is_found() -> None:
    sources = {"k/__init__.py": "", "k/a.py": "from . import b", "k/b.py": "from k.c import f", "k/c.py": "import k.a"}
    assert set(cycle(import_graph({path: ast.parse(text) for path, text in sources.items()}))) == {"k.a", "k.b", "k.c"}
    sources["k/c.py"] = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import k.a\ndef f():\n    import k.a"
    assert cycle(import_graph({path: ast.parse(text) for path, text in sources.items()})) == []


def test_an_import_is_found() -> None:
    assert "decimal" in imported_by("import decimal")
    assert "decimal" not in imported_by("import sys")
