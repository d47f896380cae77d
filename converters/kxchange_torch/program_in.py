"""From an exported program to a model: placeholders to inputs and parameters, output specs to names and states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, InputSpec, OutputKind, SymIntArgument

from kxchange import ops
from kxchange.constraints import Constraint
from kxchange.dims import DimExpr
from kxchange.errors import Blocker, CaptureError, UnsupportedOpError
from kxchange.graph import Graph, Value, parameter, placeholder
from kxchange.model import Function, Model, Role
from kxchange.output_tree import output_tree
from kxchange.types import DType, TensorType
from kxchange_torch.dim_map import DimMap
from kxchange_torch.dims_in import DimPlan
from kxchange_torch.dtypes import CANONICAL
from kxchange_torch.exporting import Findings, decompose, functionalise
from kxchange_torch.guards_in import Guards
from kxchange_torch.lift import NO_RULE, Absent, Number
from kxchange_torch.lifting import Lifter
from kxchange_torch.mutation_in import needs_functionalisation
from kxchange_torch.outputs_in import name_outputs
from kxchange_torch.parameters_in import ParameterTable, require_no_baked_parameter

ROUNDS = 4
"""How often operators without a rule are replaced by torch's own definitions, which may need others again."""


class ProgramLift:
    """One lift of one exported program.

    Args:
        program: What was traced.
        table: Named tensors of the source.
        names: Name of every leaf of the inputs, in order.
        plan: Dims of the inputs.
        findings: What the trace showed beside the graph.
        allow_specialised: Whether a symbolic dim may turn out to be a number.
        training: Whether dropout is kept.
    """

    def __init__(
        self,
        program: ExportedProgram,
        table: ParameterTable,
        names: Sequence[str],
        plan: DimPlan,
        findings: Findings,
        allow_specialised: bool,
        training: bool,
    ) -> None:
        self.program = program
        self.table = table
        self.names = names
        self.plan = plan
        self.training = training
        self.inputs: list[Value] = []
        self.lifted: list[str] = []
        self.guards = Guards(program, names, plan, findings, allow_specialised)

    def model(self, provenance: dict[str, Any]) -> Model:
        """Lift the program.

        Raises:
            CaptureError: A dim was fixed, a weight was baked in, or our types contradict torch's.
            UnsupportedOpError: Operators without a lift.
        """
        dims, ranges = self.guards.resolve()
        program = self.program
        if needs_functionalisation(program.graph_module):
            program = functionalise(program)
        refused: list[Blocker] = []
        for step in range(ROUNDS):
            lifter = Lifter(dims, ranges, training=self.training)
            results = lifter.run(program.graph_module, self._arguments(program))
            refused = refused if step else [blocker for blocker in lifter.collected() if blocker.reason != NO_RULE]
            simpler = _simpler(program, list(lifter.unknown))
            if simpler is None:
                break
            program = simpler
        self._require_success(lifter, refused)
        require_no_baked_parameter(self.table, self.lifted)
        function = self._function(program, results, dims)
        if self.guards.specialised:
            provenance = {**provenance, "specialised": dict(self.guards.specialised)}
        return Model(
            {"main": function}, self.table.entries, constraints=self._constraints(function), provenance=provenance
        )

    def _require_success(self, lifter: Lifter, refused: list[Blocker]) -> None:
        """Raise with the blockers of the first round, whose names are the source's, and what no round could lift."""
        blockers = refused + [blocker for blocker in lifter.collected() if not refused or blocker.reason == NO_RULE]
        if blockers:
            note = f"{lifter.skipped} more operators depend on them and were not looked at. " if lifter.skipped else ""
            raise UnsupportedOpError(
                "capture (torch)", blockers, f"{note}Rewrite these lines, or add a rule to kxchange_torch."
            )
        if lifter.faults:
            listed = "\n  ".join(lifter.faults[:10])
            raise CaptureError(
                f"capture (torch) inferred other types than torch for {len(lifter.faults)} operators:\n  {listed}\n"
                "This is a fault in kxchange's lifting rules; please report it with these lines."
            )

    def _arguments(self, program: ExportedProgram) -> list[Any]:
        """One value per placeholder."""
        self.inputs = []
        rest = iter(self.names)
        fakes = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"]
        specs = program.graph_signature.input_specs
        return [self._argument(spec, fake, rest, program) for spec, fake in zip(specs, fakes, strict=True)]

    def _argument(self, spec: InputSpec, fake: Any, names: Any, program: ExportedProgram) -> Any:
        if spec.kind is InputKind.USER_INPUT:
            return self._input(spec, fake, next(names))
        if spec.kind is InputKind.TOKEN:
            return Absent()
        name = str(spec.target)
        if spec.kind is InputKind.CONSTANT_TENSOR and name not in self.table.entries:
            self.table.add(name, program.constants[name], Role.CONSTANT)  # pyright: ignore[reportArgumentType]
            self.lifted.append(name)
        if name not in self.table.entries:
            raise CaptureError(f"the traced graph reads {name!r} ({spec.kind.name.lower()}), which is not a tensor.")
        entry = self.table.canonical(name)
        return parameter(entry.name, entry.type)

    def _input(self, spec: InputSpec, fake: Any, name: str) -> Any:
        if isinstance(spec.arg, ConstantArgument):
            return spec.arg.value
        if isinstance(spec.arg, SymIntArgument) or not isinstance(fake, torch.Tensor):
            raise CaptureError(f"input {name!r} is a symbolic number. Pass it as a tensor, or as a constant.")
        value = placeholder(name, TensorType(CANONICAL[fake.dtype], self.guards.shapes[name]))
        self.inputs.append(value)
        return value

    def _function(self, program: ExportedProgram, results: Any, dims: DimMap) -> Function:
        """The signature: user outputs by their place in the tree, written states after them."""
        outputs: list[Value] = []
        names: list[str] = []
        states: dict[str, str] = {}
        leaves: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        named = iter(name_outputs(program.call_spec.out_spec))
        written: list[tuple[str, Value]] = []
        for spec, result in zip(program.graph_signature.output_specs, results, strict=True):
            if spec.kind is OutputKind.TOKEN:
                continue
            if spec.kind is not OutputKind.USER_OUTPUT:
                written.append((self._target(spec), result))
                continue
            path, name = next(named)
            value = _as_output(result, name)
            if value is None:
                leaves.append((path, {"value": result}))
                continue
            leaves.append((path, {"output": name}))
            outputs.append(value)
            names.append(name)
        for target, value in written:
            name = f"{target}.next"
            states[name] = target
            outputs.append(value)
            names.append(name)
        return Function(Graph(tuple(self.inputs), tuple(outputs)), tuple(names), states, output_tree(leaves))

    def _target(self, spec: Any) -> str:
        """The model's name of what an output spec writes to."""
        if spec.kind in (OutputKind.BUFFER_MUTATION, getattr(OutputKind, "PARAMETER_MUTATION", None)):
            return self.table.canonical(str(spec.target)).name
        if spec.kind is OutputKind.USER_INPUT_MUTATION:
            placeholders = [
                s.arg.name for s in self.program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT
            ]
            return self.names[placeholders.index(str(spec.target))]
        raise CaptureError(f"the traced graph returns a {spec.kind.name.lower()}, which kxchange does not know.")

    def _constraints(self, function: Function) -> list[Constraint]:
        """What the guards say of symbols that the model still has."""
        known = set(function.dims)
        return [constraint for constraint in self.guards.constraints if constraint.symbols <= known]


def _simpler(program: ExportedProgram, unknown: list[Any]) -> ExportedProgram | None:
    """The program with the unknown operators dissolved; None where there are none, or torch cannot."""
    if any("predispatch" in getattr(target, "__module__", "") for target in unknown):
        return functionalise(program)  # a vmap that the trace left as it was
    return decompose(program, unknown) if unknown else None


def _as_output(result: Any, name: str) -> Value | None:
    """A tensor output; a size that is one becomes a rank-0 tensor; constants are none."""
    if isinstance(result, Absent):
        raise CaptureError(f"capture (torch) cannot give output {name!r}: {result.reason}.")
    if isinstance(result, Number):
        return result.value
    if isinstance(result, DimExpr):
        return ops.full(shape=(), value=result, dtype=DType.INT64)
    return result if isinstance(result, Value) else None
