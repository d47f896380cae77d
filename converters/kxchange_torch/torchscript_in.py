"""Live TorchScript: its graph as torch's own converter reads it, compared with the original on the examples."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from kxchange.errors import CaptureError
from kxchange_torch.private_script import script_converted


def is_script(source: Any) -> bool:
    """Whether this is a compiled TorchScript module or function."""
    return isinstance(source, torch.jit.ScriptModule | torch.jit.ScriptFunction)


def script_program(source: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ExportedProgram:
    """The exported program of a TorchScript module in evaluation mode; every size of the examples may be symbolic.

    Raises:
        CaptureError: torch's converter does not take it, or what it gives computes something else.
    """
    evaluated = copy.deepcopy(source).eval() if isinstance(source, torch.jit.ScriptModule) else source
    name = getattr(source, "original_name", type(source).__name__)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = script_converted(evaluated, args, kwargs)
            _require_same(name, evaluated, program, args, kwargs)
    except CaptureError:
        raise
    except Exception as error:  # torch raises whatever went wrong inside; all of it means "not convertible"
        said = str(error).strip() or type(error).__name__
        raise CaptureError(
            f"torch cannot turn the TorchScript module {name} into an exported program: {said.splitlines()[0][:300]} "
            "Capture the nn.Module that it was made from; kx.load_weights(model, path) takes its archive's tensors."
        ) from error
    return program


def _require_same(
    name: str, source: Any, program: ExportedProgram, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """The converter is experimental: what it made must give what the original gives, here at least."""
    with torch.no_grad():
        wanted, found = (pytree.tree_leaves(f(*args, **kwargs)) for f in (source, program.module()))
    for a, b in zip(found, wanted, strict=True):
        same = torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True) if isinstance(b, torch.Tensor) else a == b
        if not same:
            raise CaptureError(
                f"torch's converter turns the TorchScript module {name} into another function: it differs on the "
                "examples. Capture the nn.Module that it was made from."
            )
