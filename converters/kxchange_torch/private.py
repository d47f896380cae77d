"""Every private API of torch that this converter uses, in one place; a test names each."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

LAYERS = str(Path(torch.__file__).parent / "nn") + os.sep
OURS = str(Path(__file__).parent) + os.sep
STAND_INS = OURS + "packed_in.py"
"""Our own file whose functions a traced model calls in place of torch's."""

# --- pytrees: flattening as torch.export does it ---


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """Leaves of nested containers, and the structure without them."""
    return pytree.tree_flatten(tree)


def unflatten(leaves: Iterable[Any], structure: Any) -> Any:
    """The containers again, with other leaves."""
    return pytree.tree_unflatten(list(leaves), structure)


def leaves_with_path(tree: Any) -> list[tuple[tuple[str, ...], Any]]:
    """Every leaf with the keys, indices and field names that lead to it."""
    return [(tuple(_key_text(key) for key in path), leaf) for path, leaf in pytree.tree_flatten_with_path(tree)[0]]


def _key_text(key: Any) -> str:
    for field in ("key", "idx", "name"):
        if hasattr(key, field):
            return str(getattr(key, field))
    return str(key)


def structure_with_path(structure: Any) -> list[tuple[tuple[Any, ...], int]]:
    """For each leaf of a structure, the raw keys (str, or int for positions) that lead to it."""
    numbered = pytree.tree_unflatten(list(range(structure.num_leaves)), structure)
    found = pytree.tree_flatten_with_path(numbered)[0]
    return [
        (tuple(key.idx if isinstance(key, pytree.SequenceKey) else _key_text(key) for key in path), i)
        for path, i in found
    ]


def is_registered(kind: type) -> bool:
    """Whether torch looks inside objects of a class."""
    return kind in pytree.SUPPORTED_NODES


def _keyed(item: Any, take_apart: Any) -> tuple[list[tuple[Any, Any]], Any]:
    children, rest = take_apart(item)
    return [(pytree.GetAttrKey(name), child) for name, child in children], rest


def register_container(kind: type, take_apart: Any, put_together: Any) -> None:
    """Let torch look inside objects of a class: ``take_apart(object) -> (named children, rest)`` and back."""
    pytree.register_pytree_node(
        kind,
        lambda item: ([child for _, child in take_apart(item)[0]], take_apart(item)[1]),
        put_together,
        flatten_with_keys_fn=lambda item: _keyed(item, take_apart),
    )


def nested(leaves: Iterator[Any], structure: Any) -> Any:
    """Leaves in a structure whose objects are lists of their children, as `torch.export` takes dynamic shapes."""
    if structure.is_leaf():
        return next(leaves)
    children = [nested(leaves, child) for child in structure.children()]
    if structure.type in pytree.BUILTIN_TYPES:
        return pytree.SUPPORTED_NODES[structure.type].unflatten_fn(children, structure.context)
    return children


# --- sizes: what the tracer knows about its symbols ---


def shape_env_of(fake: Any) -> Any:
    """The solver behind a fake tensor's symbolic sizes; None for a tensor that has none."""
    mode = getattr(fake, "fake_mode", None)
    return None if mode is None else mode.shape_env


def expression_of(size: Any) -> Any:
    """The sympy expression of a symbolic size."""
    return size.node.expr


def hint_of(size: Any) -> int | None:
    """The example value of a symbolic size; None where only the data decides it."""
    node = size.node
    return node.hint if node.has_hint() else None


def is_layer_code(file: str) -> bool:
    """Whether a file is torch's Python code of layers, whose branches on sizes are as real as the user's."""
    return file.startswith(LAYERS)


@contextmanager
def recording_user_lines(is_framework: Any, record: Any) -> Iterator[None]:
    """Call ``record(place, file, line, direct)`` for each guard, so that guards have the user's line.

    torch names the innermost frame outside its symbolic-shapes code, mostly one of its own; the user's frame is
    further out and is gone after the trace. `direct` says that the user's own code asked, not an operator it called.
    """
    from torch.fx.experimental.symbolic_shapes import ShapeEnv, uninteresting_files

    original = getattr(ShapeEnv, "_get_sloc", None)
    if original is None:
        yield
        return

    def with_user_line(self: Any, *args: Any, **kwargs: Any) -> Any:
        place = original(self, *args, **kwargs)
        frame, direct, solver = sys._getframe(1), True, uninteresting_files() | {__file__, torch.__file__}
        while frame is not None and is_framework(frame.f_code.co_filename):
            if frame.f_code.co_filename.startswith(OURS) and frame.f_code.co_filename not in (__file__, STAND_INS):
                return place  # our own check of the dims, or beyond the module: no line of the user's
            direct = direct and (frame.f_code.co_filename in solver or is_layer_code(frame.f_code.co_filename))
            frame = frame.f_back
        if frame is not None:
            record(place, frame.f_code.co_filename, frame.f_lineno, direct)
        return place

    ShapeEnv._get_sloc = with_user_line  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        ShapeEnv._get_sloc = original


@contextmanager
def recording_questions(is_framework: Any, record: Any) -> Iterator[None]:
    """Call ``record(condition, answer, file, line)`` for each condition on sizes that the user's own code asks.

    Those that the tracer's lower bound of 2 decides (``if x.shape[0] == 1``) leave no guard behind.
    """
    from torch.fx.experimental.symbolic_shapes import ShapeEnv, uninteresting_files

    original = ShapeEnv.evaluate_expr
    solver = uninteresting_files() | {__file__, torch.__file__}

    def evaluate(self: Any, expression: Any, *args: Any, **kwargs: Any) -> Any:
        answer = original(self, expression, *args, **kwargs)
        if getattr(expression, "is_Relational", False):
            frame = sys._getframe(1)
            while frame is not None and (frame.f_code.co_filename in solver or is_layer_code(frame.f_code.co_filename)):
                frame = frame.f_back
            if frame is not None and not is_framework(frame.f_code.co_filename):
                record(expression, bool(answer), frame.f_code.co_filename, frame.f_lineno)
        return answer

    ShapeEnv.evaluate_expr = evaluate  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        ShapeEnv.evaluate_expr = original


@contextmanager
def keeping_user_frames(is_framework: Any) -> Iterator[None]:
    """Give every traced operator the innermost frame of the user's code, whatever the function there is called.

    torch keeps only frames of functions called `forward`, so that what a helper does shows at its caller's line.
    """
    from torch.fx.proxy import TracerBase

    original = TracerBase._filter_traceback_frames

    def innermost(self: Any, frames: Any) -> Any:
        for frame in reversed(frames):
            if frame.filename.startswith(OURS) and frame.filename != STAND_INS:
                break
            if not is_framework(frame.filename):
                return traceback.StackSummary.from_list([frame])
        return traceback.StackSummary()

    TracerBase._filter_traceback_frames = innermost  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        TracerBase._filter_traceback_frames = original


def guards_of(shape_env: Any) -> list[tuple[Any, Any]]:
    """Conditions on sizes that the trace relied on: sympy relation and place."""
    return [(guard.expr, guard.sloc) for guard in shape_env.guards]


def replacements_of(shape_env: Any) -> dict[Any, tuple[Any, Any]]:
    """Symbols that turned out to equal something: symbol -> (sympy expression, place)."""
    places = getattr(shape_env, "replacements_slocs", {})
    return {symbol: (expr, places.get(symbol)) for symbol, expr in shape_env.replacements.items()}


def forward_argument_names(program: torch.export.ExportedProgram) -> list[str] | None:
    """Names of `forward`'s arguments as they were passed; None where the program does not say."""
    signature = program.module_call_graph[0].signature
    return None if signature is None else getattr(signature, "forward_arg_names", None)


def decompositions(overloads: Iterable[Any]) -> dict[Any, Any]:
    """Torch's own decompositions of these overloads, where it has one."""
    import torch._decomp as decomp

    table: dict[Any, Any] = {}
    core = torch.export.default_decompositions()
    for overload in overloads:
        if overload in core:
            table[overload] = core[overload]
        elif overload in decomp.decomposition_table:
            table[overload] = decomp.decomposition_table[overload]
    return table


def is_composite(overload: Any) -> bool:
    """Whether an operator dissolves into others whenever a program is run through decompositions."""
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    return isinstance(overload, torch._ops.OpOverload) and overload.has_kernel_for_dispatch_key(key)


def schema_of(overload: Any) -> Any:
    """The declared signature of an operator, with its aliases and writes."""
    return overload._schema


# --- resampling: kernels that torch.nn.functional reaches only without explicit scales ---

NEAREST_EXACT = {
    1: torch.ops.aten._upsample_nearest_exact1d.default,
    2: torch.ops.aten._upsample_nearest_exact2d.default,
    3: torch.ops.aten._upsample_nearest_exact3d.default,
}
"""Nearest neighbours at half-pixel centres, by number of spatial axes: (x, sizes, *scales)."""
BILINEAR_ANTIALIASED = torch.ops.aten._upsample_bilinear2d_aa.default
"""(x, sizes, align_corners, *scales)."""
BICUBIC_ANTIALIASED = torch.ops.aten._upsample_bicubic2d_aa.default
"""(x, sizes, align_corners, *scales), with a = -0.5."""


# --- loops as single operators, for compilation and export ---


def while_operator(test: Any, body: Any, carry: tuple[Any, ...]) -> Any:
    """A traced `while`: ``carry`` put through ``body`` for as long as ``test`` of it holds."""
    from torch._higher_order_ops.while_loop import while_loop

    return while_loop(test, body, carry)


def scan_operator(step: Any, carry: list[Any], xs: list[Any], reverse: bool) -> Any:
    """A traced loop over axis 0 of `xs`: ``step(carry, x) -> (carry, y)`` gives ``(carry, ys)``."""
    from torch._higher_order_ops.scan import scan

    return scan(step, carry, xs, reverse=reverse)


@contextmanager
def keeping_associative_scans() -> Iterator[None]:
    """Trace an associative scan as the one operator it is, where torch would unroll it by halving the axis.

    The unrolled form fixes the length of the axis, so a symbolic one would be lost.
    """
    module: Any = importlib.import_module("torch._higher_order_ops.associative_scan")
    original = module.generic_associative_scan

    def whole(combine: Any, leaves: Any, dim: int = 0, additional_inputs: Any = ()) -> Any:
        # torch hands over the user's function under vmap; one step takes it plain
        function = inspect.getclosurevars(combine.keywords["combine_fn"]).nonlocals["func"]
        step = partial(combine.func, **(combine.keywords | {"combine_fn": function}))
        return module.associative_scan_op(step, list(leaves), additional_inputs)

    module.generic_associative_scan = whole
    try:
        yield
    finally:
        module.generic_associative_scan = original


@contextmanager
def as_if_compiling() -> Iterator[None]:
    """Let a model that asks hear that it is compiled, not exported.

    Some unroll a loop over the sequence for exporters of old and keep it whole for the compiler.
    """
    original = torch.compiler.is_exporting
    torch.compiler.is_exporting = lambda: False
    try:
        yield
    finally:
        torch.compiler.is_exporting = original


def operator_name(value: Any) -> str | None:
    """``aten.add.Tensor`` for an operator of `torch.ops`, None for anything else."""
    return str(value) if isinstance(value, torch._ops.OpOverload) else None


def operator_called(name: str) -> Any:
    """The operator of `torch.ops` of that name."""
    namespace, operator, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), operator), overload)


# --- programs put together from a file's description ---


def fake_mode() -> Any:
    """A mode whose tensors have sizes but no data, with a solver of its own."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    solver = ShapeEnv(assume_static_by_default=True)
    return FakeTensorMode(allow_fallback_kernels=False, allow_non_fake_inputs=True, shape_env=solver)


def size_functions() -> dict[str, Any]:
    """The functions that torch adds to sympy for sizes, by name."""
    from torch.utils._sympy import functions

    names = "FloorDiv PythonMod Mod CleanDiv CeilToInt FloorToInt PowByNatural IntTrueDiv TruncToInt ToFloat Max Min"
    return {name: getattr(functions, name) for name in (*names.split(), "Identity") if hasattr(functions, name)}


def symbolic_number(mode: Any, expression: Any, hint: Any, ranges: Mapping[str, Any]) -> Any:
    """A size (or a condition on sizes) of a mode's solver; a plain one where the expression is a number."""
    solver = mode.shape_env
    for atom in expression.free_symbols - solver.var_to_range.keys():
        known = ranges.get(atom.name) or value_range(1 if atom.is_positive else None, None)
        solver.constrain_symbol_range(atom, compiler_min=known.lower, compiler_max=known.upper)
        if not atom.is_positive and atom.name[1:].isdigit():
            solver.unbacked_symint_counter = max(solver.unbacked_symint_counter, min(int(atom.name[1:]), 2**20) + 1)
    if expression.is_Symbol and hint is not None and expression not in solver.backed_var_to_val:
        solver.add_backed_var_to_val(expression, hint)
    if expression.is_Boolean or expression.is_Relational:
        return solver.create_symboolnode(expression)
    return solver.create_symintnode(expression, hint=hint)


def value_range(low: int | None, high: int | None) -> Any:
    """A range of sizes; None for no bound."""
    from torch.utils._sympy.numbers import int_oo
    from torch.utils._sympy.value_ranges import ValueRanges

    return ValueRanges(-int_oo if low is None else low, int_oo if high is None else high)


def training_verifier() -> Any:
    """What torch holds a program to that may still write to its tensors."""
    from torch._export.verifier import TrainingIRVerifier

    return TrainingIRVerifier
