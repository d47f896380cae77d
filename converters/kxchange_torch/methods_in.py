"""Several calls of one module as named functions over its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from kxchange.errors import CaptureError
from kxchange.functions import join
from kxchange.model import Model
from kxchange_torch.inputs_in import Origin

Capture = Callable[..., Model]


def capture_methods(module: Any, methods: Mapping[str, Any], dynamic: Any, capture: Capture) -> Model:
    """One model with a function for each entry of `methods`; see `kxchange_torch.capture.capture`.

    Args:
        module: Whose methods they are. An entry that no method is called after is a call of the module itself.
        methods: Example inputs by function name: a tuple of positional ones, or a mapping of named ones.
        dynamic: `dynamic` by function name.
        capture: Captures one call.

    Raises:
        CaptureError: The module is none, an entry is neither tuple nor mapping, or `dynamic` names no entry.
    """
    if not isinstance(module, nn.Module) or not methods:
        raise CaptureError("capture takes methods= for a module, with example inputs by function name.")
    if dynamic is None or dynamic is False:
        dynamic = dict.fromkeys(methods, dynamic)
    unknown = [name for name in dynamic if name not in methods] if isinstance(dynamic, Mapping) else [dynamic]
    if unknown:
        listed = ", ".join(methods)
        raise CaptureError(
            f"capture with methods= takes dynamic by function name ({listed}), not {unknown or dynamic!r}."
        )
    captured: dict[str, Model] = {}
    for name, examples in methods.items():
        source = _method(module, name)
        if isinstance(examples, Mapping):
            captured[name] = capture(source, dynamic=dynamic.get(name), **examples)
        elif isinstance(examples, tuple):
            captured[name] = capture(source, *examples, dynamic=dynamic.get(name))
        else:
            raise CaptureError(f"capture takes the examples of {name!r} as a tuple or a dict, not {type(examples)}.")
    model = join(captured)
    origins = {name: one.origin for name, one in captured.items()}
    first = next(iter(origins.values()))
    model.origin = Origin(first.module, first.examples, origins)
    return model


def _method(module: nn.Module, name: str) -> Any:
    """The module's method of that name; the module itself where it has none of its own."""
    own = getattr(type(module), name, None)
    if own is None or hasattr(nn.Module, name):
        return module
    return getattr(module, name)
