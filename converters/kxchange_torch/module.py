"""The module that is built: the source's tree of parameters, and functions generated from the graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

from kxchange.errors import InputError
from kxchange.passes.native_parameters import Layout
from kxchange_torch.program import Program

Tensor = torch.Tensor


@dataclass(frozen=True)
class Leaf:
    """Where a parameter lives: position of its module in the tree, its name there, and which of two dicts."""

    owner: int
    name: str
    buffer: bool


@dataclass(frozen=True)
class Tree:
    """Every module of the tree but the root, as (position of the parent, name), parents first."""

    modules: tuple[tuple[int, str], ...]

    def walk(self, root: nn.Module) -> list[nn.Module]:
        """The modules, the root first; never by attribute, so that no name is looked up in code."""
        found = [root]
        for parent, name in self.modules:
            module = found[parent]._modules[name]
            if module is None:
                raise InputError(f"the module has lost its part {name!r}.")
            found.append(module)
        return found


@dataclass(frozen=True)
class Entry:
    """One function of a module.

    Attributes:
        program: ``(inputs..., captures...) -> outputs``.
        input_names: The model's input names.
        output_names: The model's output names.
        captures: What the program takes behind its inputs: a `Leaf`, the position of a constant, or None for
            whether the module is in training mode.
        structure: The output tree of the source, or None.
        updates: (position of an output, leaf) for each output that is the next value of a buffer.
    """

    program: Program
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    captures: tuple[Leaf | int | None, ...] = ()
    structure: Any = None
    updates: tuple[tuple[int, Leaf], ...] = ()

    @cached_property
    def arguments(self) -> dict[str, list[int]]:
        """Argument names (up to the first dot of an input name), each with the inputs that it holds."""
        found: dict[str, list[int]] = {}
        for position, name in enumerate(self.input_names):
            found.setdefault(name.partition(".")[0] or name, []).append(position)
        return found


@dataclass(frozen=True)
class Specification:
    """What all copies of a built module share; immutable.

    Attributes:
        entries: Functions by name; the first is `forward`.
        tree: The modules.
        layouts: Name in the module's `state_dict`, and how it is stored there, by name in the model.
        counters: Buffers that count training steps, as torch's batch normalisation does.
    """

    entries: Mapping[str, Entry]
    tree: Tree
    layouts: Mapping[str, Layout] = field(default_factory=dict[str, Layout])
    counters: tuple[Leaf, ...] = ()

    def __copy__(self) -> Specification:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Specification:
        return self


class Part(nn.Module):
    """A node of the source's module tree: it holds parameters, and computes nothing itself."""

    def extra_repr(self) -> str:
        """Shapes of the tensors held here."""
        held = {**self._parameters, **self._buffers}
        return ", ".join(f"{name}: {list(tensor.shape)}" for name, tensor in held.items() if tensor is not None)


class BuiltModule(Part):
    """A model as an ordinary `nn.Module`.

    ``forward`` takes the model's inputs in order, or by name. An input name with dots is one leaf of an argument that
    is a nested dict, list or tuple, and can be passed as that: ``past.0.1`` is ``past=((key, value), ...)``. It returns
    the source's output tree (lists as tuples); without one, the single output, or a dict of outputs by name.
    Other functions of the model are methods beside it.

    Attributes:
        kx_names: Name in this module's `state_dict` by name in the model. They differ for a model from another
            framework, and where `nn.Module` cannot have the name.
        kx_layouts: The same, with how the tensor is stored; `Layout.back` gives the model's array.
    """

    def __init__(self, specification: Specification, constants: Sequence[Tensor]) -> None:
        super().__init__()
        self._kx = specification
        self._kx_constants = list(constants)

    @property
    def kx_names(self) -> dict[str, str]:
        """See the class."""
        return {name: layout.name for name, layout in self._kx.layouts.items()}

    @property
    def kx_layouts(self) -> dict[str, Layout]:
        """Name here and layout here by name in the model."""
        return dict(self._kx.layouts)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model's main function."""
        return self.kx_call(next(iter(self._kx.entries)), *args, **kwargs)

    def kx_call(self, function: str, /, *args: Any, **kwargs: Any) -> Any:
        """Run one of the model's functions by name."""
        entry = self._kx.entries[function]
        return pack(entry, self.kx_run(entry, bind(entry, args, kwargs)))

    def kx_run(self, entry: Entry, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """All outputs in order; buffers that the model updates are updated."""
        modules = self._kx.tree.walk(self)
        outputs = self._kx_compute(modules, entry, inputs)
        if self.training:
            for counter in self._kx.counters:
                read(modules, counter).add_(1)
        if entry.updates:
            with torch.no_grad():
                for position, leaf in entry.updates:
                    read(modules, leaf).copy_(outputs[position])
        return outputs

    def kx_compute(self, entry: Entry, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """All outputs in order, without side effects (in evaluation mode)."""
        return self._kx_compute(self._kx.tree.walk(self), entry, inputs)

    def _kx_compute(self, modules: list[nn.Module], entry: Entry, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return entry.program.function(*inputs, *[self._kx_captured(modules, capture) for capture in entry.captures])

    def _kx_captured(self, modules: list[nn.Module], capture: Leaf | int | None) -> Any:
        if capture is None:
            return self.training
        return self._kx_constants[capture] if isinstance(capture, int) else read(modules, capture)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> BuiltModule:
        # Constants move with the module, but are no part of its state: `named_buffers` stays the source's.
        super()._apply(fn, recurse)
        self._kx_constants = [fn(constant) for constant in self._kx_constants]
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return restore, (self._kx,), self.__dict__


def restore(specification: Specification) -> BuiltModule:
    """An empty module of the right class; copying and unpickling fill in its state."""
    module = module_class(specification).__new__(module_class(specification))
    nn.Module.__init__(module)
    return module


def module_class(specification: Specification) -> type[BuiltModule]:
    """The class with the model's signature on `forward` and its other functions as methods."""
    main, *others = specification.entries
    methods = {"forward": _method(specification, main)}
    top = {name.partition(".")[0] for name in (layout.name for layout in specification.layouts.values())}
    for name in others:
        if name.isidentifier() and not hasattr(BuiltModule, name) and name not in top:
            methods[name] = _method(specification, name)
    return type("BuiltModule", (BuiltModule,), {**methods, "__module__": __name__})


def _method(specification: Specification, function: str) -> Callable[..., Any]:
    def method(self: BuiltModule, *args: Any, **kwargs: Any) -> Any:
        return self.kx_call(function, *args, **kwargs)

    arguments = ["self", *specification.entries[function].arguments]
    if all(name.isidentifier() for name in arguments) and len(set(arguments)) == len(arguments):
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        signature = inspect.Signature([inspect.Parameter(name, kind) for name in arguments])
        method.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    return method


def read(modules: list[nn.Module], leaf: Leaf) -> Tensor:
    """The tensor that a leaf names now."""
    owner = modules[leaf.owner]
    tensor = (owner._buffers if leaf.buffer else owner._parameters).get(leaf.name)
    return getattr(owner, leaf.name) if tensor is None else tensor


def bind(entry: Entry, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Sequence[Any]:
    """The inputs in order, from positional and named arguments."""
    if not kwargs and len(args) == len(entry.input_names) and all(isinstance(arg, Tensor) for arg in args):
        return args
    if not args and len(kwargs) == len(entry.input_names) and all(name in kwargs for name in entry.input_names):
        return [kwargs[name] for name in entry.input_names]
    positional = dict(zip(entry.arguments, args, strict=False))
    leaves: dict[str, Any] = {}
    for name, value in (*positional.items(), *kwargs.items()):
        flatten(name, value, leaves)
    missing = [name for name in entry.input_names if name not in leaves]
    unknown = [name for name, value in leaves.items() if name not in entry.input_names and value is not None]
    twice = [name for name in kwargs if name in positional]
    if missing or unknown or twice or len(args) > len(entry.arguments):
        problems = {"missing": missing, "unknown": unknown, "given twice": twice}
        listed = "; ".join(f"{problem}: {names}" for problem, names in problems.items() if names)
        raise InputError(
            f"the module takes {list(entry.input_names)}, not these {len(args)} positional and {len(kwargs)} named "
            f"arguments ({listed or 'too many'}). Pass each input once."
        )
    return [leaves[name] for name in entry.input_names]


def flatten(name: str, value: Any, leaves: dict[str, Any]) -> None:
    """Add the leaves of a nested argument under their dotted names."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            flatten(f"{name}.{key}", item, leaves)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            flatten(f"{name}.{index}", item, leaves)
    else:
        leaves[name] = value


def pack(entry: Entry, outputs: Sequence[Tensor]) -> Any:
    """The outputs in the source's tree."""
    if entry.structure is not None:
        return _rebuild(entry.structure, dict(zip(entry.output_names, outputs, strict=True)))
    return outputs[0] if len(outputs) == 1 else dict(zip(entry.output_names, outputs, strict=True))


def _rebuild(tree: Any, outputs: Mapping[str, Tensor]) -> Any:
    if isinstance(tree, Mapping):
        if len(tree) == 1:
            (key, value), *_ = tree.items()
            if key == "output" and isinstance(value, str):
                return outputs[value]
            if key == "value":
                return value
        return {key: _rebuild(item, outputs) for key, item in tree.items()}
    return tuple(_rebuild(item, outputs) for item in tree)
