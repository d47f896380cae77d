"""The walk over a traced graph that turns every operator into nodes, and collects all that it cannot."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import fx

from kxchange.dims import Ranges
from kxchange.errors import Blocker, CaptureError, DimError, KxchangeError, TypeInferenceError
from kxchange.graph import PROVENANCE, Graph, Value, placeholder
from kxchange.types import TensorType
from kxchange_torch import lift_rules  # noqa: F401 - fills the table
from kxchange_torch.dim_map import DimMap
from kxchange_torch.dtypes import CANONICAL
from kxchange_torch.lift import CHECKS, MISSING, NO_RULE, SCOPE, Absent, Number, lift
from kxchange_torch.lift_promotion import cast
from kxchange_torch.mutation_in import written_arguments
from kxchange_torch.private import schema_of
from kxchange_torch.sources_in import Sources

DECIDED_BY_DATA = (
    "a size or position that only the data decides; pass it as an input, or take the size of a tensor instead"
)


class Lifter:
    """One lift: blockers and faults are collected, and nodes get names and sources.

    Attributes:
        dims: torch's sizes in our names.
        ranges: Least and greatest size per symbol.
        training: Whether dropout is kept.
        blockers: Places by operator and reason.
        unknown: Overloads without a rule.
        faults: Where our inference and torch's disagree.
        skipped: Operators left out because an operand has no type.
        node: The operator being lifted.
    """

    def __init__(self, dims: DimMap, ranges: Ranges, *, training: bool = False) -> None:
        self.dims = dims
        self.ranges = ranges
        self.training = training
        self.sources = Sources()
        self.environment: dict[fx.Node, Any] = {}
        self.blockers: dict[tuple[str, str], list[str]] = {}
        self.unknown: dict[Any, None] = {}
        self.faults: list[str] = []
        self.skipped = 0
        self.node: Any = None

    def run(self, module: fx.GraphModule, args: Sequence[Any]) -> Any:
        """Lift a graph on these inputs; returns what its output node returns."""
        rest = iter(args)
        for node in module.graph.nodes:
            if node.op == "placeholder":
                self.environment[node] = next(rest)
            elif node.op == "get_attr":
                self.environment[node] = _attribute(module, str(node.target))
            elif node.op == "call_function":
                self.environment[node] = self.call(node)
            elif node.op == "output":
                return self.read(node.args[0])
        raise CaptureError("the traced graph has no output.")

    def read(self, argument: Any) -> Any:
        """An argument of an fx node as rules take it."""
        if isinstance(argument, fx.Node):
            return self.environment[argument]
        if isinstance(argument, list | tuple):
            return tuple(self.read(item) for item in argument)
        if isinstance(argument, torch.dtype):
            return CANONICAL.get(argument) or Absent(f"kxchange has no element type {argument}")
        return argument

    def call(self, node: fx.Node) -> Any:
        """The result of one operator: a value, a size, a tuple of them, or a poisoned value."""
        target = node.target
        if getattr(target, "__name__", "") == "getitem":
            container = self.read(node.args[0])
            return container if isinstance(container, Absent) else container[node.args[1]]
        name = operator_name(target)
        if name in CHECKS or (name == "with_effects" and str(node.args[1]) in CHECKS):
            return MISSING, None  # the token that orders it, and no result
        entry, in_place = _rule(name)
        source = self.sources.source(node.meta)
        if entry is None:
            self.unknown.setdefault(target)
            return self.block(node, name, NO_RULE, str(source))
        args = bind(target, entry, self.read(node.args), {k: self.read(v) for k, v in node.kwargs.items()})
        if absent := _absent(args):
            if absent.reason:
                return self.block(node, name, absent.reason, str(source))
            self.skipped += 1
            return self.poison(node)
        PROVENANCE.name, PROVENANCE.source = self.sources.name(source.path, _short(name)), source
        result = self._apply(node, name, entry, args, str(source))
        if in_place and isinstance(result, Value):
            result = self._rebind(node, result)
        return result

    def _apply(self, node: fx.Node, name: str, rule: Callable[..., Any], args: Sequence[Any], place: str) -> Any:
        before = SCOPE.fake
        self.node = node
        SCOPE.lifter, SCOPE.ranges, SCOPE.training, SCOPE.fake = self, self.ranges, self.training, node.meta.get("val")
        try:
            result = rule(*args)
            self.compare(node.meta.get("val"), result, f"{name} at {place}")
        except (CaptureError, TypeInferenceError, DimError) as error:
            return self.block(node, name, str(error), place)
        except (TypeError, AttributeError):  # what a number that only the data decides has not, and a size has
            if not _any_number(args):
                raise
            return self.block(node, name, DECIDED_BY_DATA, place)
        finally:
            SCOPE.fake = before
        return result

    def _rebind(self, node: fx.Node, result: Value) -> Any:
        """What an in-place operator wrote is from here on the value of the argument it wrote to."""
        written: Any = node.args[written_arguments(node.target)[0]]
        old = self.environment[written]
        if isinstance(old, Value):
            result = cast(result, old.dtype)
        self.environment[written] = result
        return result

    def block(self, node: fx.Node, name: str, reason: str, place: str) -> Any:
        """Note a blocker, and go on with a value that has torch's type."""
        self.blockers.setdefault((name, reason), []).append(place or node.name)
        return self.poison(node)

    def poison(self, node: fx.Node) -> Any:
        """A stand-in of the type torch says the result has; `MISSING` where that cannot be told."""
        return self._poison(node.meta.get("val"))

    def _poison(self, fake: Any) -> Any:
        try:
            if isinstance(fake, torch.Tensor):
                return placeholder("unsupported", self.type_of(fake))
            if isinstance(fake, list | tuple):
                return tuple(self._poison(item) for item in fake)
            return self.dims.dim(fake) if isinstance(fake, int | torch.SymInt) else MISSING
        except KxchangeError:
            return MISSING

    def type_of(self, fake: torch.Tensor) -> TensorType:
        """The type of a fake tensor in our names."""
        if fake.dtype not in CANONICAL:
            raise CaptureError(f"kxchange has no element type {fake.dtype}.")
        return TensorType(CANONICAL[fake.dtype], tuple(self.dims.dim(size) for size in fake.shape))

    def compare(self, fake: Any, result: Any, place: str) -> None:
        """Check our type against torch's, at the sizes of the trace and at others."""
        if isinstance(result, Value) and isinstance(fake, torch.Tensor):
            if CANONICAL.get(fake.dtype) is not result.dtype or len(fake.shape) != result.ndim:
                self.faults.append(f"{place}: {result.type} here, {fake.dtype}{list(fake.shape)} in torch")
            elif not all(self.dims.agree(ours, theirs) for ours, theirs in zip(result.shape, fake.shape, strict=True)):
                self.faults.append(f"{place}: {result.type} here, {list(fake.shape)} in torch")
        elif isinstance(result, tuple) and isinstance(fake, list | tuple) and len(result) == len(fake):
            for ours, theirs in zip(result, fake, strict=True):
                self.compare(theirs, ours, place)

    def inline(self, module: fx.GraphModule, args: Sequence[Any]) -> Any:
        """Lift a sub-graph in place of the operator that calls it."""
        before = PROVENANCE.name, PROVENANCE.source
        try:
            return self.run(module, args)
        finally:
            PROVENANCE.name, PROVENANCE.source = before

    def subgraph(self, module: fx.GraphModule, args: Sequence[Any]) -> Graph:
        """Lift a sub-graph as a closed graph: one input per tensor argument; sizes are known by name inside too."""
        fresh = [placeholder(f"x{i}", a.type) if isinstance(a, Value) else a for i, a in enumerate(args)]
        outputs = self.inline(module, fresh)
        outputs = (outputs,) if isinstance(outputs, Value) else outputs
        if not isinstance(outputs, tuple) or not all(isinstance(value, Value) for value in outputs):
            raise CaptureError("a branch or loop body returns something that is not a tensor.")
        return Graph(tuple(value for value in fresh if isinstance(value, Value)), outputs)

    def owns_its_memory(self, position: int) -> bool:
        """Whether an argument of the operator being lifted is the whole of its memory, in order."""
        argument = self.node.args[position]
        fake = argument.meta.get("val") if isinstance(argument, fx.Node) else None
        if not isinstance(fake, torch.Tensor) or any(not isinstance(size, int) for size in fake.shape):
            return False
        whole = fake.untyped_storage().nbytes() == fake.numel() * fake.element_size()
        return bool(fake.is_contiguous() and fake.storage_offset() == 0 and whole)

    def collected(self) -> list[Blocker]:
        """All blockers so far."""
        return [Blocker(name, reason, tuple(places)) for (name, reason), places in self.blockers.items()]


def _attribute(module: fx.GraphModule, path: str) -> Any:
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _absent(args: Sequence[Any]) -> Absent | None:
    """The first argument that is not there."""
    for argument in args:
        found = _absent(argument) if isinstance(argument, tuple) else argument
        if isinstance(found, Absent):
            return found
    return None


def _any_number(args: Sequence[Any]) -> bool:
    """Whether an argument, or an item of one, is a number that only the data decides."""
    return any(_any_number(item) if isinstance(item, tuple) else isinstance(item, Number) for item in args)


@cache
def operator_name(target: Any) -> str:
    """The table's key of an operator: ``aten.add.Tensor``, ``operator.mul``, ``math.ceil``, ``cond``."""
    if isinstance(target, torch._ops.OpOverload):
        return str(target)
    if isinstance(target, torch._ops.HigherOrderOperator):
        return target.name()
    module = (getattr(target, "__module__", None) or "").lstrip("_")
    return f"{module}.{getattr(target, '__name__', target)}"


def _short(name: str) -> str:
    return name.split(".")[1] if name.startswith("aten.") else name.rpartition(".")[2]


@cache
def _rule(name: str) -> tuple[Callable[..., Any] | None, bool]:
    """The rule of an operator; the out-of-place twin's rule, to be followed by a rebinding, for in-place forms."""
    entry = lift.entries.get(name)
    if entry is not None:
        return entry.rule, False
    namespace, _, rest = name.partition(".")
    base, _, overload = rest.partition(".")
    if base.endswith("_") and not base.endswith("__"):
        entry = lift.entries.get(f"{namespace}.{base[:-1]}.{overload}")
    return (None, False) if entry is None else (entry.rule, True)


def forget_rules() -> None:
    """Look rules up anew: one was added."""
    _rule.cache_clear()


def bind(target: Any, rule: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[Any]:
    """Arguments in schema order with defaults filled in, cut to as many as the rule takes."""
    schema = _schema(target)
    if schema is None:
        return (*args, *kwargs.values())
    limit = _arity(rule)
    bound = list(args[:limit])
    for name, default in schema[len(args) : limit]:
        bound.append(kwargs.get(name, default))
    return bound


@cache
def _schema(target: Any) -> tuple[tuple[str, Any], ...] | None:
    """Names and defaults of an operator's arguments, in order."""
    if not isinstance(target, torch._ops.OpOverload):
        return None
    return tuple((a.name, _frozen(a.default_value)) for a in schema_of(target).arguments)


def _frozen(default: Any) -> Any:
    return tuple(default) if isinstance(default, list) else default


@cache
def _arity(rule: Callable[..., Any]) -> int | None:
    """How many positional arguments a rule takes; None for all."""
    parameters = inspect.signature(rule).parameters.values()
    return None if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(parameters)
