"""From a model to a trainable `nn.Module`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from kxchange.errors import BuildError
from kxchange.graph import Graph
from kxchange.model import Function, Model, Parameter, Role
from kxchange.passes.channels import channels_first
from kxchange.passes.legalize import Supports, legalize
from kxchange.passes.native_parameters import Layout, native_parameters
from kxchange.types import TensorType
from kxchange_torch.checking import check_module
from kxchange_torch.dtypes import to_tensor
from kxchange_torch.layout import is_foreign, native_name
from kxchange_torch.lower import lower, supports
from kxchange_torch.lowering import Capture, Setting, lower_graph
from kxchange_torch.module import BuiltModule, Entry, Leaf, Part, Specification, Tree, module_class

SAFE = re.compile(r"[\w\-+:/@#=<>,()\[\] ]+")
"""Components of names that stay as they are: nothing that could end a string in anyone's generated code."""


def build(
    model: Model,
    *,
    function: str | None = None,
    share_memory: bool = False,
    check: bool = True,
    layout: str = "auto",
    supports: Supports = supports,
) -> BuiltModule:
    """An `nn.Module` with the source's tree of parameters, in evaluation mode.

    Tied parameters are one object; a parameter is trainable where the source's was. The `state_dict` of a model that
    comes from torch has its names, order, shapes and dtypes. A model from elsewhere has its parameters as torch's own
    layers hold them: a Keras kernel is a ``weight`` with the outputs in front, below the layer's path; `kx_names`
    gives the name here by the name there. See `BuiltModule` for how it is called.

    Args:
        model: What to build.
        function: Build this function only; by default all of them, the main one as `forward`.
        share_memory: Let parameters share the model's arrays instead of copying them; for modules that are only run.
        check: Verify the module before it is returned: its names, and the shapes and dtypes it gives at two sizes.
        layout: Of the parameters: ``"native"`` is torch's own, ``"source"`` the model's; ``"auto"`` is as above.
        supports: Which nodes torch takes whole; the others are decomposed. Narrow it to compare the two.

    Raises:
        UnsupportedOpError: torch lacks ops of the model; all of them are listed.
        BuildError: The module is not the model.
    """
    functions = {function: model.function(function)} if function else _main_first(model)
    chosen, foreign = model.replace(functions=functions), is_foreign(model, layout)
    prepared = chosen.map_graphs(channels_first) if foreign else chosen
    legal = prepared.map_graphs(lambda graph: legalize(graph, supports, "torch"))
    held, layouts = native_parameters(legal, native_name) if foreign else (legal, None)
    plan = _Plan(held)
    entries = {name: plan.entry(function, function.graph) for name, function in held.functions.items()}
    tree, counters = Tree(tuple(plan.modules)), tuple(plan.counters(held))
    specification = Specification(entries, tree, plan.layouts(layouts), counters)
    module = module_class(specification)(specification, plan.constants)
    plan.fill(module, share_memory)
    module.eval()
    if check:
        check_module(chosen, module, functions)
    return module


def _main_first(model: Model) -> dict[str, Function]:
    main = model.main
    return dict(sorted(model.functions.items(), key=lambda item: item[1] is not main))


class _Plan:
    """Places for the model's parameters in a tree of modules, and the functions' constants."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.modules: list[tuple[int, str]] = []
        self.leaves: dict[str, Leaf] = {}
        self.names: dict[str, str] = {}
        self.constants: list[torch.Tensor] = []
        self._paths: list[str] = [""]
        self._parts: dict[tuple[int, str], int] = {}
        self._taken: list[set[str]] = [set()]
        for name, entry in model.parameters.items():
            self._place(name, entry)
        buffers = frozenset(name for name, leaf in self.leaves.items() if leaf.buffer)
        self.setting = Setting(lower, buffers, leading_parameter(model))

    def _place(self, name: str, entry: Parameter) -> None:
        *path, last = name.split(".")
        owner = 0
        for component in path:
            owner = self._part(owner, component)
        leaf = Leaf(owner, self._free(owner, last), not is_parameter(self.model, entry))
        self.leaves[name] = leaf
        self.names[name] = f"{self._paths[owner]}{leaf.name}"

    def _part(self, owner: int, component: str) -> int:
        """The child module called `component`, made on first use."""
        if (owner, component) not in self._parts:
            name = self._free(owner, component)
            self.modules.append((owner, name))
            self._paths.append(f"{self._paths[owner]}{name}.")
            self._taken.append(set())
            self._parts[owner, component] = len(self.modules)
        return self._parts[owner, component]

    def _free(self, owner: int, component: str) -> str:
        """The component itself, or the nearest name that `nn.Module` can have."""
        name = component if SAFE.fullmatch(component) else re.sub(r"[^\w\-]", "_", component) or "_"
        while name in self._taken[owner] or name in RESERVED:
            name += "_"
        self._taken[owner].add(name)
        return name

    def entry(self, function: Function, graph: Graph) -> Entry:
        """The generated function of a legalized graph, with the places of what it reads."""
        program, captures = lower_graph(graph, self.setting)
        positions = {name: position for position, name in enumerate(function.output_names)}
        return Entry(
            program,
            function.input_names,
            function.output_names,
            tuple(map(self._capture, captures)),
            function.structure,
            tuple((positions[out], self.leaves[to]) for out, to in function.updates.items() if to in self.leaves),
        )

    def _capture(self, capture: Capture) -> Leaf | int | None:
        if capture.kind == "parameter":
            return self.leaves[capture.key]
        if capture.kind == "constant":
            self.constants.append(to_tensor(capture.key.array, copy=True))
            return len(self.constants) - 1
        return None

    def layouts(self, known: Mapping[str, Layout] | None) -> dict[str, Layout]:
        """Where each parameter of the source is in the module's `state_dict`, and how it is stored there."""
        known = known or {name: Layout(name) for name in self.model.parameters}
        return {name: Layout(self.names[layout.name], layout.steps) for name, layout in known.items()}

    def counters(self, model: Model) -> list[Leaf]:
        """`num_batches_tracked` beside the running statistics of a batch normalisation: torch counts training steps."""
        found: dict[str, Leaf] = {}
        graphs = [function.graph for function in model.functions.values()]
        for node in (node for graph in graphs for node in graph.nodes() if node.op == "batch_norm"):
            mean = node.inputs[1]
            if mean is not None and mean.node.op == "parameter":
                prefix, _, _ = str(mean.node.attrs["name"]).rpartition(".")
                counter = f"{prefix}.num_batches_tracked" if prefix else "num_batches_tracked"
                if counter in self.leaves and self.leaves[counter].buffer:
                    found[counter] = self.leaves[counter]
        return list(found.values())

    def fill(self, root: BuiltModule, share_memory: bool) -> None:
        """Make the tree and register every tensor in the model's order; tied names get one object."""
        modules: list[nn.Module] = [root]
        for parent, name in self.modules:
            part = Part()
            modules[parent].add_module(name, part)
            modules.append(part)
        made: dict[str, torch.Tensor] = {}
        for name, entry in self.model.parameters.items():
            made[name] = made[entry.alias_of] if entry.alias_of else self._tensor(entry, share_memory)
            self._register(modules[self.leaves[name].owner], self.leaves[name], made[name], entry)

    def _tensor(self, entry: Parameter, share_memory: bool) -> torch.Tensor:
        tensor = to_tensor(entry.array, copy=not share_memory)
        found = TensorType(entry.type.dtype, tuple(tensor.shape))
        if found != entry.type or entry.array.dtype != entry.type.dtype.numpy:
            raise BuildError(f"parameter {entry.name!r} is {entry.type} in the model, but its data is {found}.")
        return tensor if not is_parameter(self.model, entry) else nn.Parameter(tensor, requires_grad=entry.trainable)

    @staticmethod
    def _register(owner: nn.Module, leaf: Leaf, tensor: torch.Tensor, entry: Parameter) -> None:
        if isinstance(tensor, nn.Parameter):
            owner.register_parameter(leaf.name, tensor)
        else:
            owner.register_buffer(leaf.name, tensor, persistent=entry.role is not Role.CONSTANT)


def leading_parameter(model: Model) -> tuple[str, TensorType] | None:
    """The first floating parameter, where all of them have its dtype."""
    found = [p for p in model.parameters.values() if is_parameter(model, p) and p.type.dtype.is_floating]
    alike = found and all(p.type.dtype is found[0].type.dtype for p in found)
    return (found[0].name, found[0].type) if alike else None


def is_parameter(model: Model, entry: Parameter) -> bool:
    """Whether torch can hold it as an `nn.Parameter`: floating or complex, and a parameter in its source."""
    first = model.parameters[entry.alias_of] if entry.alias_of else entry
    return first.role is Role.PARAMETER and (first.type.dtype.is_floating or first.type.dtype.is_complex)


RESERVED = frozenset(dir(BuiltModule)) | frozenset(vars(nn.Module())) | {"_kx", "_kx_constants"}
"""Names that a module has already; `nn.Module` would refuse them, or lose its own."""


def describe(module: nn.Module) -> dict[str, Any]:
    """The generated source of each function, for reading."""
    if not isinstance(module, BuiltModule):
        raise BuildError("only a module that kxchange built has generated source.")
    return {name: entry.program.source for name, entry in module._kx.entries.items()}
