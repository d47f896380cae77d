"""From a live PyTorch object to a model: trace once, lift every operator, keep every name."""

from __future__ import annotations

import copy
import inspect
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from kxchange.errors import CaptureError
from kxchange.model import Model
from kxchange.passes.native_parameters import Layout, restored_parameters
from kxchange_torch.boundary_in import unsafe_sizes
from kxchange_torch.containers_in import require_no_baked_sizes
from kxchange_torch.dims_in import DimPlan, enlarge, plan_dims
from kxchange_torch.exporting import Findings, export
from kxchange_torch.inputs_in import Origin, bind_examples, name_positional
from kxchange_torch.methods_in import capture_methods
from kxchange_torch.modes_in import say_that_it_evaluates
from kxchange_torch.module import BuiltModule
from kxchange_torch.parameters_in import ParameterTable, module_tensors, program_tensors
from kxchange_torch.program_in import ProgramLift
from kxchange_torch.side_effects import warning_of_changes
from kxchange_torch.torchscript_in import is_script, script_program


def capture(
    source: Any,
    *args: Any,
    dynamic: Any = None,
    allow_specialised: bool = False,
    training: bool = False,
    methods: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Model:
    """Lift a module (of TorchScript too), a method of one, a function over tensors, or an exported program.

    The module is put into eval mode for the trace and gets its modes back. Parameters share memory with the module's.

    Args:
        source: What to capture.
        args: Example inputs; their values do not matter, their dtypes and static sizes do.
        dynamic: Symbolic dims by input name (``past.0.1`` inside a nested one, or nested like it): a tuple with one
            entry per axis, or a dict by axis. An entry is a name, an expression over names (``"past+seq"``), a
            `torch.export.Dim`, or None for a size that stays. None for a whole input keeps it static. Inputs that are
            not named have a symbolic axis 0 (``batch``); ``dynamic=False`` makes every size static.
        allow_specialised: Accept a symbolic dim that the model fixes to one size; the model records it.
        training: Keep `dropout` nodes, so that a module built from the model drops in training mode.
        methods: Several functions instead of one call: example inputs by name, a tuple or a dict for each
            (``{"encode": (x,), "decode": (z,)}``). A name of a method is that method; any other is a call of the
            module itself (``prefill``, ``decode``). `dynamic` is then given by function name too.
        kwargs: Example inputs by name.

    Raises:
        CaptureError: The object cannot be traced or lifted faithfully; the message names the line.
        UnsupportedOpError: Operators without a lift, all of them, with their lines.
    """
    if methods is not None:
        options: dict[str, Any] = {"allow_specialised": allow_specialised, "training": training}
        return capture_methods(source, methods, dynamic, partial(capture, **options))
    source = script_program(source, args, kwargs) if is_script(source) else source
    if isinstance(source, ExportedProgram):
        table = ParameterTable(program_tensors(source))
        plan, names = _program_plan(source, dynamic)
        return ProgramLift(source, table, names, plan, Findings(), allow_specialised, training).model(_describe(source))
    module = as_module(source)
    examples = bind_examples(module, args, kwargs)
    plan = plan_dims(examples, dynamic)
    require_no_baked_sizes(name_positional(examples.signature, examples.args) | examples.kwargs, plan.sizes)
    examples = enlarge(examples, plan)
    names = [leaf.name for leaf in examples.leaves]

    def lifted(compiling: bool) -> ProgramLift:
        findings = Findings()
        program = export(module, examples, plan, findings, compiling=compiling)
        table = ParameterTable(module_tensors(module))
        return ProgramLift(program, table, names, plan, findings, allow_specialised, training)

    lift = warning_of_changes(module, lambda: lifted(compiling=False))
    if lift.guards.fixed_axes and not allow_specialised:
        lift = _with_whole_loops(lifted) or lift
    say_that_it_evaluates(module, lift.guards.findings.modes, training)
    model = lift.model(_describe(source))
    model.constraints += tuple(unsafe_sizes(model, module, examples, plan, lift.guards))
    model = _in_source_layout(model, module)
    model.origin = Origin(module, examples)
    return model


def _in_source_layout(model: Model, module: nn.Module) -> Model:
    """The parameters of a module that kxchange built, as its source had them."""
    if isinstance(module, BuiltModule) and any(layout != Layout(name) for name, layout in module.kx_layouts.items()):
        return restored_parameters(model, module.kx_layouts)
    return model


def _with_whole_loops(lifted: Callable[[bool], ProgramLift]) -> ProgramLift | None:
    """A second trace of a model that fixed a symbolic size, as the compiler would see it; None if that is no better."""
    try:
        lift = lifted(True)
    except CaptureError:
        return None
    return None if lift.guards.fixed_axes else lift


def as_module(source: Any) -> nn.Module:
    """The module whose `forward` is to be captured.

    Raises:
        CaptureError: It is nothing that can be called on tensors.
    """
    if isinstance(source, nn.Module):
        return source
    if isinstance(source, types.MethodType) and isinstance(source.__self__, nn.Module):
        return _calling(source.__self__, source.__func__)
    if callable(source):
        return FunctionModule(source)
    raise CaptureError(
        f"torch cannot capture a {type(source).__name__}: pass a module, a function or an exported program."
    )


def _calling(module: nn.Module, method: Callable[..., Any]) -> nn.Module:
    """A twin that shares the module's parameters and submodules; only `forward` is another, on copies of it too."""
    kind, twin = type(module), copy.copy(module)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "forward": _as_forward(method)}
    twin.__class__ = type(kind.__name__, (kind,), names)
    return twin


class FunctionModule(nn.Module):
    """A plain function as a module without parameters."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        object.__setattr__(self, "forward", _as_forward(function))


def _as_forward(function: Any) -> Any:
    """A callable under the name by which torch recognises user code in a stack, with its own signature."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    with suppress(ValueError):  # what is built in may have no signature that Python can read
        forward.__signature__ = inspect.signature(function)  # pyright: ignore[reportFunctionMemberAccess]
    return forward


def _describe(source: Any) -> dict[str, Any]:
    kind = source if isinstance(source, types.FunctionType | types.MethodType) else type(source)
    return {
        "backend": "torch",
        "object": f"{kind.__module__}.{kind.__qualname__}",
        "versions": {"torch": torch.__version__.partition("+")[0]},
    }


def _program_plan(program: ExportedProgram, dynamic: Any) -> tuple[DimPlan, list[str]]:
    from kxchange_torch.program_dims import plan_program

    return plan_program(program, dynamic)
