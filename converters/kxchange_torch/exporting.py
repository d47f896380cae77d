"""`torch.export` of a module under the conditions of a capture: eval mode, no fast paths, one symbol per name."""

from __future__ import annotations

import inspect
import io
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from kxchange.dims import DimExpr, evaluate
from kxchange.errors import CaptureError
from kxchange.user_code import relative_file
from kxchange_torch.containers_in import register_containers
from kxchange_torch.dims_in import DimPlan, dynamic_shapes, solve
from kxchange_torch.inputs_in import Examples
from kxchange_torch.modes_in import evaluation_mode, recording_mode_questions
from kxchange_torch.packed_in import packing_by_masks
from kxchange_torch.private import (
    as_if_compiling,
    decompositions,
    flatten,
    is_composite,
    keeping_associative_scans,
    keeping_user_frames,
    nested,
    recording_questions,
    recording_user_lines,
)
from kxchange_torch.private_recurrent import keeping_recurrent_layers, keeping_symbolic_picks
from kxchange_torch.questions import asking_no_values
from kxchange_torch.sources_in import is_framework


@dataclass(frozen=True, slots=True)
class UserLine:
    """Where the user's code made the tracer rely on a size.

    Attributes:
        place: torch's own record, kept alive because its identity is the key.
        text: File and line.
        direct: Whether the user's code asked itself (a branch), not an operator it called.
    """

    place: Any
    text: str
    direct: bool


@dataclass(slots=True)
class Findings:
    """What a trace showed about sizes beside the graph.

    Attributes:
        lines: User's lines by the identity of torch's record of a guard.
        branches: Conditions that the user's code asked: sympy relation, as it held for the example, and line.
        modes: Lines of the user's code that ask whether a module trains which does, as it stands; the module's class.
    """

    lines: dict[int, UserLine] = field(default_factory=dict)
    branches: dict[Any, str] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)


@contextmanager
def checking_dims(module: nn.Module, plan: DimPlan, examples: Examples) -> Iterator[None]:
    """Tell the tracer, before `forward` runs, which axes have equal sizes: one name becomes one symbol."""
    axes = [(leaf_index, axis, dim) for leaf_index, axis, dim in _axes_by_leaf(plan, examples)]

    def check(_: nn.Module, args: Any, kwargs: Any) -> None:
        leaves = flatten((args, kwargs))[0]
        sizes: dict[str, Any] = {}
        for index, axis, dim in axes:
            atom = dim.lone_atom()
            if isinstance(atom, str):
                sizes.setdefault(atom, leaves[index].shape[axis])
        for index, axis, dim in axes:
            if (solved := solve(dim, sizes, leaves[index].shape[axis])) is not None:
                sizes[solved[0]] = solved[1]
        for index, axis, dim in axes:
            expected = evaluate(dim, sizes, maximum=torch.sym_max, minimum=torch.sym_min)
            if expected is not leaves[index].shape[axis]:
                torch._check(leaves[index].shape[axis] == expected)

    handle = module.register_forward_pre_hook(check, prepend=True, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _axes_by_leaf(plan: DimPlan, examples: Examples) -> list[tuple[int, int, DimExpr]]:
    return [
        (index, axis, dim)
        for index, leaf in enumerate(examples.leaves)
        for axis, dim in enumerate(plan.shapes.get(leaf.name, ()))
        if isinstance(dim, DimExpr)
    ]


def export(
    module: nn.Module, examples: Examples, plan: DimPlan, findings: Findings, *, compiling: bool = False
) -> torch.export.ExportedProgram:
    """Trace `module` once; `findings` receives the user's line of every guard.

    With `compiling`, a model that asks is told that it is compiled: some unroll their loops for exporters only.

    Raises:
        CaptureError: torch cannot export it; says which line of the user's code, and why.
    """
    try:
        return _export(module, examples, plan, findings, compiling)
    except Exception as error:  # torch raises whatever went wrong inside; all of it means "not exportable"
        cause = error
        if register_containers(_outputs(module, examples)):
            try:
                return _export(module, examples, plan, findings, compiling)
            except Exception as second:
                cause = second
        raise CaptureError(explain(module, cause)) from cause


def _outputs(module: nn.Module, examples: Examples) -> Any:
    """What the module gives for the examples; None where it fails."""
    call = examples.with_tensors({leaf.name: leaf.value.clone() for leaf in examples.leaves if leaf.is_tensor})
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    try:
        with evaluation_mode(module), torch.no_grad(), _quiet():
            return functional_call(module, buffers, call.args, call.kwargs)
    except Exception:  # the export's own error says more
        return None


def _export(
    module: nn.Module, examples: Examples, plan: DimPlan, findings: Findings, compiling: bool
) -> torch.export.ExportedProgram:
    shapes = _nested_shapes(examples, plan) if examples.leaves else None
    conditions = (
        recording_mode_questions(module, findings.modes),
        evaluation_mode(module),
        naming_arguments(module, examples),
        checking_dims(module, plan, examples),
        _user_lines(findings),
        keeping_user_frames(is_framework),
        asking_no_values(),
        keeping_associative_scans(),
        keeping_recurrent_layers(),
        keeping_symbolic_picks(),
        packing_by_masks(),
        _quiet(),
        *((as_if_compiling(),) if compiling else ()),
    )
    with ExitStack() as stack:
        stack.enter_context(_without_graph_dumps())
        for condition in conditions:
            stack.enter_context(condition)
        return torch.export.export(module, examples.args, examples.kwargs, dynamic_shapes=shapes or None, strict=False)


def _nested_shapes(examples: Examples, plan: DimPlan) -> Any:
    """The axes' specs in the shape of `forward`'s arguments."""
    specs = dynamic_shapes(examples, plan)
    args, kwargs = nested(iter(specs), flatten((examples.args, examples.kwargs))[1])
    return dict(spelled_out(examples).bind(*args, **kwargs).arguments)


def spelled_out(examples: Examples) -> inspect.Signature:
    """The signature of `forward` with a parameter of its own for each argument that ``**kwargs`` catches."""
    parameters = list(examples.signature.parameters.values())
    caught = [name for name in examples.kwargs if name not in examples.signature.parameters]
    place = len(parameters) - any(p.kind is p.VAR_KEYWORD for p in parameters)
    parameters[place:place] = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in caught]
    return examples.signature.replace(parameters=parameters)


@contextmanager
def naming_arguments(module: nn.Module, examples: Examples) -> Iterator[None]:
    """Let `forward` say what it is called with: torch loses count of dynamic shapes below ``**kwargs``."""
    signature = spelled_out(examples)
    if signature == examples.signature:
        yield
        return
    before, original = vars(module).get("forward"), module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    forward.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    vars(module)["forward"] = forward
    try:
        yield
    finally:
        del vars(module)["forward"]
        if before is not None:
            vars(module)["forward"] = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings and logs of failure: what matters becomes our error."""
    names = ("torch.fx.experimental.symbolic_shapes", "torch.export", "torch._subclasses.fake_tensor")
    loud = [logging.getLogger(name) for name in names]
    before = [logger.disabled for logger in loud]
    try:
        for logger in loud:
            logger.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, state in zip(loud, before, strict=True):
            logger.disabled = state


@contextmanager
def _without_graph_dumps() -> Iterator[None]:
    """What is written to stderr meanwhile, without the half-traced graph that torch writes there when it fails."""
    written, dump = io.StringIO(), ""
    try:
        with redirect_stderr(written):
            yield
    except Exception as error:
        dump = f"{getattr(error, 'partial_fx_graph', '')}\n"
        raise
    finally:
        sys.stderr.write(written.getvalue().replace(dump, "") if dump.strip() else written.getvalue())


@contextmanager
def _user_lines(findings: Findings) -> Iterator[None]:
    def record(place: Any, file: str, line: int, direct: bool) -> None:
        findings.lines[id(place)] = UserLine(place, f"{relative_file(file)}:{line}", direct)

    def asked(condition: Any, answer: bool, file: str, line: int) -> None:
        findings.branches.setdefault(condition if answer else condition.negated, f"{relative_file(file)}:{line}")

    with recording_user_lines(is_framework, record), recording_questions(is_framework, asked):
        yield


def explain(module: nn.Module, error: BaseException) -> str:
    """What torch said, with the user's line and the usual rewrite."""
    text = str(error).strip().split("\n\n")[0].strip() or type(error).__name__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not is_framework(f.filename)]
    cause = error.__cause__ or error.__context__
    while not frames and cause is not None:
        frames = [f for f in traceback.extract_tb(cause.__traceback__) if not is_framework(f.filename)]
        cause = cause.__cause__ or cause.__context__
    place = f" at {relative_file(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    code = f", in `{frames[-1].line}`" if frames and frames[-1].line else ""
    advice = next((advice for sign, advice in _ADVICE.items() if sign in str(error)), "")
    if _OPERATOR.fullmatch(text):
        text = f"{text} has no form that can be traced"
        advice = (
            " Sparse, nested and quantized tensors cannot be exported: use dense ones in forward. Some other "
            "operators can be traced with fixed sizes only: pass dynamic=False."
        )
    text = _UNHINTED.sub("", text)[:600].rstrip(". ")
    return f"torch.export cannot trace {type(module).__name__}{place}: {text}{code}.{advice}"


_OPERATOR = re.compile(r"[a-z_]+\.\w+\.\w+")
_UNHINTED = re.compile(r" \(unhinted: [^\n]*?\)\.\s+\(Size-like symbols: [^\n)]*\)")
_ADVICE: Mapping[str, str] = {
    ".numpy()": " Compute with torch operations in forward: NumPy cannot be traced.",
    "__array__": " Compute with torch operations in forward: NumPy cannot be traced.",
    "specialized integer": " A size that depends on values: pass it as an input, or compute with a mask of full size.",
    "data-dependent": " A branch or a size that depends on values: use torch.where, torch.cond, or torch._check.",
    "GuardOnDataDependent": " A branch or a size that depends on values: use torch.where, torch.cond, or torch._check.",
    "pytree": " Register the container with torch.export.register_dataclass, or return tuples and dicts.",
    "unsupported output": " Return tensors in tuples, lists or dicts; for Hugging Face models pass use_cache=False.",
    "Unsupported output": " Return tensors in tuples, lists or dicts; for Hugging Face models pass use_cache=False.",
}


def functionalise(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program without writes: what was written to inputs and buffers becomes outputs. Composite ops stay."""
    try:
        with _quiet():
            return program.run_decompositions({})
    except Exception as error:  # torch's own assertions among them
        raise CaptureError(
            f"torch cannot take the writes out of the traced graph: {str(error)[:300]}. "
            "Write the lines that assign into tensors with torch.where, torch.cat or scatter."
        ) from error


def decompose(program: torch.export.ExportedProgram, overloads: list[Any]) -> torch.export.ExportedProgram | None:
    """The program with these operators replaced by torch's own definitions; None where torch has none."""
    table = decompositions(overloads)
    if not table and not any(map(is_composite, overloads)):
        return None
    try:
        with _quiet():
            return program.run_decompositions(table)
    except Exception:  # torch's definition fails on these operands: the operators stay blockers
        return None
