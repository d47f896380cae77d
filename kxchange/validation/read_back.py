"""What was written, judged as a file: its weights, its function as read back, its outputs in its own runtime."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np

from kxchange.comparison import compare_models
from kxchange.converter import Converter, Runner, converter
from kxchange.errors import KxchangeError, UnknownFormatError
from kxchange.format.integrity import tensor_sha256
from kxchange.graph import Graph, Node, Value, interpret, placeholder
from kxchange.hub import load, recognise
from kxchange.model import Array, Function, Model
from kxchange.passes.retype import retype
from kxchange.spec import keep
from kxchange.types import DType
from kxchange.validation.job import FLOAT64, NATIVE, Result
from kxchange.validation.judge import judge_function
from kxchange.validation.report import Row
from kxchange.validation.truth import Truth
from kxchange.validation.validate import judge_backend, set_findings
from kxchange.validation.verdict import Verdict
from kxchange.validation.worker import run_cases

RANK = 5
"""Up to this rank a weight is looked for under every order of its axes."""


def read_back(
    model: Model,
    path: Path,
    truth: Truth,
    own: Sequence[Mapping[str, Array]],
    opened: Callable[[Model], object] = lambda back: None,
) -> Row | None:
    """The row of a written file; None where no reader for its format is installed.

    Weights are those that the file holds, by name, or by their bytes in any order of axes. The function is the file's,
    read back and computed in float64 on the reference. The accuracy is that of the file in its own runtime, with
    nothing of kxchange between, where the converter can run files; else of what was read back.

    Args:
        model: What should be in the file.
        path: The file or folder.
        truth: Of the model.
        own: The source's own outputs, case by case, which set the scale of error.
        opened: Called with what was read back.
    """
    row = Row("file")
    try:
        reader = recognise(path)
        if reader is not None and (not reader.load_verb or reader.missing_for("load_verb")):
            return None
        back = load(path)
        opened(back)
    except UnknownFormatError:
        return None
    except KxchangeError as error:
        row.notes.append(f"file: cannot be read back: {error}")
        return row
    if reader is None:
        return judge_identity(model, back, row)
    return judge_file(model, aligned(back, model, truth.function_name), path, reader, truth, own)


def judge_identity(model: Model, back: Model, row: Row) -> Row:
    """A `.kx` holds the very same graph and bytes, or it is wrong."""
    found = compare_models(model, back)
    row.weights = row.function = row.accuracy = Verdict.WRONG if found else Verdict.SAME
    row.notes += [f"file: {line}" for line in found[:5]]
    return row


def judge_file(
    model: Model, back: Model, path: Path, reader: Converter, truth: Truth, own: Sequence[Mapping[str, Array]]
) -> Row:
    """The three questions of a file of another format."""
    native = [truth.native_inputs(case) for case in truth.cases]
    wide = [truth.wide_inputs(case) for case in truth.cases]
    result = Result(versions=reader.versions())
    result.outcomes[NATIVE] = run_cases(file_runner(back, path, reader, truth), native)
    result.outcomes[FLOAT64] = run_cases(reference_runner(retype(back, DType.FLOAT64)), wide)
    row = judge_backend("file", result, truth, own, requested=True) or Row("file")
    if row.function is Verdict.WRONG:  # once more, with the format's own precision of constants in view
        row.notes = [note for note in row.notes if not note.startswith("function: ")]
        set_findings(row, "function", judge_function(truth, result.outcomes[FLOAT64].outputs, native_constants=True))
    judge_held(row, model, back)
    return row


def file_runner(back: Model, path: Path, reader: Converter, truth: Truth) -> Callable[[], Runner]:
    """The file in its own runtime where the converter can, else what was read back on the reference."""
    if not reader.run_file_verb or reader.missing:
        return reference_runner(back)
    return lambda: reader.run_file(path, truth.model, function=truth.function_name)


def reference_runner(model: Model) -> Callable[[], Runner]:
    """A model on NumPy."""
    return lambda: converter("numpy").prepare(model)


def aligned(back: Model, model: Model, function: str | None) -> Model:
    """What was read back as one function, with the names that went out: by name, else by position."""
    wanted = model.function(function)
    name = next((n for n, f in model.functions.items() if f is wanted), "main")
    found = back.functions.get(name, back.main)
    inputs = found.graph.inputs
    if set(found.input_names) != set(wanted.input_names) and len(inputs) == len(wanted.graph.inputs):
        found = rename_inputs(found, wanted.input_names)
    names = found.output_names
    if set(names) != set(wanted.output_names) and len(names) == len(wanted.output_names):
        names = wanted.output_names
    return back.replace(functions={"main": Function(found.graph, names)}, samples=())


def rename_inputs(function: Function, names: Sequence[str]) -> Function:
    """The function with other names for its inputs, in order."""
    inputs = [placeholder(name, value.type) for name, value in zip(names, function.graph.inputs, strict=True)]

    def apply(node: Node, operands: list[Value | None]) -> tuple[Value, ...]:
        return node.outputs if node.op == "parameter" else keep(node, tuple(operands))

    return Function(Graph(tuple(inputs), tuple(interpret(function.graph, inputs, apply))), function.output_names)


def judge_held(row: Row, model: Model, back: Model) -> None:
    """Question 1 of a file: every weight that the function reads, under its name or as the same numbers elsewhere.

    One whose name holds other bytes is WRONG. One that is nowhere (folded, merged with others, in another type) is
    left to the function's verdict.
    """
    read = {str(n.node.attrs["name"]) for f in model.functions.values() for n in leaves(f)}
    read = {model.parameters[name].alias_of or name for name in read}
    table = hashes(back)
    elsewhere: list[str] = []
    gone: list[str] = []
    for name in (name for name in model.parameters if name in read):
        array = model.array(name)
        if name in back.parameters and same_bytes(back.array(name), array):
            continue
        if is_held(array, table):
            elsewhere.append(name)
        elif name in back.parameters and back.parameters[name].type == model.parameters[name].type:
            row.weights = Verdict.WRONG
            row.notes.append(f"weights: {name!r} has other bytes in the file")
        else:
            gone.append(name)
    if row.weights is not Verdict.WRONG:
        row.weights = Verdict.UNVERIFIED if gone else Verdict.SAME
    if elsewhere:
        row.notes.append(f"weights: {len(elsewhere)} under other names or in another layout: {listed(elsewhere)}")
    if gone:
        row.notes.append(
            f"weights: {len(gone)} of {len(read)} are not in the file by themselves (merged, folded or recoded); "
            f"the function's verdict covers them: {listed(gone)}"
        )


def leaves(function: Function) -> Iterator[Value]:
    """The parameters that a function reads."""
    for node in function.graph.nodes():
        if node.op == "parameter":
            yield node.outputs[0]


def listed(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(map(repr, names[:3])) + (" ..." if len(names) > 3 else "")


def same_bytes(array: Array, right: Array) -> bool:
    """Whether two arrays are the same in type, shape and bytes."""
    return array.dtype == right.dtype and array.shape == right.shape and tensor_sha256(array) == tensor_sha256(right)


def hashes(model: Model) -> dict[tuple[int, str], set[str]]:
    """Hashes of the bytes of every parameter, by size and type, shapes apart."""
    found: dict[tuple[int, str], set[str]] = defaultdict(set)
    for name in model.parameters:
        array = model.array(name)
        found[array.size, array.dtype.name].add(flat_hash(array))
    return found


def flat_hash(array: Array) -> str:
    """The hash of an array's elements in order."""
    return tensor_sha256(np.ascontiguousarray(array).reshape(-1))


def is_held(array: Array, table: Mapping[tuple[int, str], set[str]]) -> bool:
    """Whether some parameter holds the same elements, in this order or in another order of the axes."""
    known = table.get((array.size, array.dtype.name))
    if not known:
        return False
    orders = permutations(range(array.ndim)) if array.ndim <= RANK else [tuple(range(array.ndim))]
    return any(flat_hash(array.transpose(order)) in known for order in orders)
