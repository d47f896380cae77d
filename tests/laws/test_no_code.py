"""Law: nothing from a file is code. No pickle, no eval, no import or call by a computed name, no generated source."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

BANNED_MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "code",
    "codeop",
    "imp",
}
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
# Calls that make or load code: legitimate in a place or two, each named below.
GUARDED_CALLS = {
    "import_module": "imports by name",
    "spec_from_file_location": "imports a file",
    "run_path": "runs a file",
    "run_module": "runs a module",
    "FunctionType": "makes a function",
    "CodeType": "makes code",
    "GraphModule": "generates source and runs it",
}
# Loaders that run code unless told not to: the keyword and value that make them safe.
SAFE_ONLY_WITH = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "models.load_model": ("safe_mode", True),
    "saving.load_model": ("safe_mode", True),
}

# (path, finding) -> why it is safe there. `eval` and pickle have no entry and get none.
ALLOWED: dict[tuple[str, str], str] = {
    ("kxchange/__init__.py", "import_module"): "lazy public names: looks up a literal table of our own modules",
    (
        "kxchange/converter.py",
        "import_module",
    ): "the module is named by the record of an installed converter, never by a file",
    ("kxchange/cli/group.py", "import_module"): "subcommands of a literal table in the same file",
    ("kxchange/cli/options.py", "import_module"): "package.module:attribute typed by the user on the command line",
    ("converters/kxchange_torch/program.py", "exec"): (
        "the forward of a built module, written from identifiers of our own; names from files are values, never text"
    ),
    ("converters/kxchange_torch/program.py", "compile"): "the same generated forward",
    ("converters/kxchange_torch/pt2_graph.py", "GraphModule"): (
        "torch writes source from names of nodes, which are x and a number here, and of listed operators"
    ),
    ("kxchange/testing/samples/__init__.py", "import_module"): "its own submodules, listed from its own folder",
}


def findings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, what) for everything that could make a file's content run."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] in BANNED_MODULES)
        elif (
            isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in BANNED_MODULES and not node.level
        ):
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, what) for what in suspect_call(node))


def suspect_call(call: ast.Call) -> Iterator[str]:
    dotted = ast.unparse(call.func) if isinstance(call.func, ast.Name | ast.Attribute) else ""
    last = dotted.rsplit(".", 1)[-1]
    if dotted in BANNED_CALLS or dotted.removeprefix("builtins.") in BANNED_CALLS:
        yield dotted
    if last in GUARDED_CALLS and not (last == "import_module" and literal(call)):
        yield last
    safe = SAFE_ONLY_WITH.get(".".join(dotted.split(".")[-2:]))
    if safe and not any(
        word.arg == safe[0] and getattr(word.value, "value", None) is safe[1] for word in call.keywords
    ):
        yield dotted


def literal(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Constant)


def test_nothing_runs_what_a_file_says(trees: Mapping[str, ast.Module]) -> None:
    found = {path: [item for item in findings(tree) if (path, item[1]) not in ALLOWED] for path, tree in trees.items()}
    assert not [f"{path}:{line}: {what}" for path, items in found.items() for line, what in items]


def test_allowances_are_needed(trees: Mapping[str, ast.Module]) -> None:
    used = {(path, what) for path, tree in trees.items() for _, what in findings(tree)}
    assert not set(ALLOWED) - used


def test_no_allowance_for_pickle_or_eval() -> None:
    generated = {("converters/kxchange_torch/program.py", "exec"), ("converters/kxchange_torch/program.py", "compile")}
    assert not {what for place, what in ALLOWED if (place, what) not in generated} & (BANNED_CALLS | BANNED_MODULES)


def test_each_way_to_run_a_file_is_found() -> None:
    source = """
import pickle
from marshal import loads
from importlib import import_module
eval(text)
builtins.exec(text)
import_module(name)
import_module("kxchange.ops")
torch.load(path)
torch.load(path, weights_only=True)
numpy.load(path, allow_pickle=True)
torch.fx.GraphModule(root, graph)
keras.models.load_model(path)
load_model(path)
re.compile(pattern)
module.eval()
"""
    assert [line for line, _ in findings(ast.parse(source))] == [2, 3, 5, 6, 7, 9, 11, 12, 13]
