"""Parameters, buffers and constants of a module or an exported program, under the source's names and in its order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.export.graph_signature import InputKind

from kxchange.errors import CaptureError
from kxchange.model import Parameter, Role
from kxchange_torch.dtypes import to_array

Entry = tuple[str, torch.Tensor, Role]


class ParameterTable:
    """Every named tensor of the source, tied ones by their first name.

    Attributes:
        entries: Records of the model, in source order.
    """

    def __init__(self, named: Iterable[Entry]) -> None:
        self.entries: dict[str, Parameter] = {}
        self._first: dict[int, str] = {}
        self._tensors: list[torch.Tensor] = []
        for entry in named:
            self.add(*entry)

    def add(self, name: str, tensor: torch.Tensor, role: Role) -> None:
        """Add one tensor; another name of a known one becomes its alias."""
        if name in self.entries:
            return
        first = self._first.setdefault(id(tensor), name)
        self._tensors.append(tensor)
        alias = None if first == name else first
        trainable = role is Role.PARAMETER and tensor.requires_grad
        self.entries[name] = Parameter(name, to_array(tensor), role=role, trainable=trainable, alias_of=alias)

    def canonical(self, name: str) -> Parameter:
        """The record that holds the data of `name`."""
        entry = self.entries[name]
        return self.entries[entry.alias_of] if entry.alias_of else entry


def module_tensors(module: nn.Module) -> Iterator[Entry]:
    """Parameters and buffers in `state_dict` order, tied names included; non-persistent buffers are constants."""
    for prefix, child in module.named_modules(remove_duplicate=False):
        dot = f"{prefix}." if prefix else ""
        for name, tensor in child._parameters.items():
            if tensor is not None:
                yield dot + name, tensor, Role.PARAMETER
        for name, tensor in child._buffers.items():
            if tensor is not None:
                fleeting = name in child._non_persistent_buffers_set
                yield dot + name, tensor, Role.CONSTANT if fleeting else Role.BUFFER


def program_tensors(program: torch.export.ExportedProgram) -> Iterator[Entry]:
    """The same of an exported program, with the constants that only the graph has at the end."""
    signature = program.graph_signature
    parameters = set(signature.parameters)
    for name, tensor in program.state_dict.items():
        yield name, tensor, Role.PARAMETER if name in parameters or isinstance(tensor, nn.Parameter) else Role.BUFFER
    for spec in signature.input_specs:
        tensor = program.constants.get(spec.target or "")
        if isinstance(tensor, torch.Tensor) and spec.kind in (InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            yield str(spec.target), tensor, Role.CONSTANT


def require_no_baked_parameter(table: ParameterTable, lifted: Iterable[str]) -> None:
    """Refuse constants that are a parameter's values: a weight that was read before the trace is lost to training.

    Raises:
        CaptureError: A constant of the graph has the bytes of a parameter.
    """
    shapes: dict[object, list[Parameter]] = {}
    for entry in table.entries.values():
        if entry.role is Role.PARAMETER and entry.alias_of is None:
            shapes.setdefault(entry.type, []).append(entry)
    for name in lifted:
        constant = table.entries[name]
        values = constant.array
        if values.size < 2 or constant.alias_of or (values == values.reshape(-1)[:1]).all():
            continue  # a number or a fill says nothing about where it comes from
        for entry in shapes.get(constant.type, []):
            if entry.array.tobytes() == values.tobytes():
                raise CaptureError(
                    f"the constant {name!r} of the traced graph has exactly the values of parameter {entry.name!r}: "
                    "the weight was copied before the trace and would no longer train. Read the parameter in forward."
                )
