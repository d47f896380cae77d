"""What a trace found out about sizes: which dim is which symbol, which were fixed, what must hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from kxchange.constraints import Constraint
from kxchange.dims import Dim, DimExpr, Range, substitute, symbol
from kxchange.errors import CaptureError, DimError
from kxchange_torch.dim_map import DimMap, finite_range, relation, static_size
from kxchange_torch.dims_in import DimPlan
from kxchange_torch.exporting import Findings
from kxchange_torch.private import (
    expression_of,
    guards_of,
    replacements_of,
    shape_env_of,
)

Ranges = dict[str, Range]


class Guards:
    """Dims of the inputs after the trace.

    Attributes:
        shapes: Dims by input name; a dim that the trace fixed is a number here, if that is allowed.
        constraints: Ranges and branches, with the line that made them.
        specialised: Size by dim for dims that were fixed.
    """

    def __init__(
        self, program: ExportedProgram, names: Sequence[str], plan: DimPlan, findings: Findings, allow_specialised: bool
    ) -> None:
        self.program = program
        self.plan = plan
        self.findings = findings
        self.allow_specialised = allow_specialised
        self.shapes: dict[str, tuple[Dim, ...]] = dict(plan.shapes)
        self.constraints: list[Constraint] = []
        self.specialised: dict[str, int] = {}
        self.dims = DimMap(plan.sizes)
        self._fakes = _input_fakes(program, names)
        self._env = next((env for fake in self._fakes.values() if (env := shape_env_of(fake)) is not None), None)

    @property
    def fixed_axes(self) -> list[tuple[str, int, DimExpr, int]]:
        """Axes that should be symbolic and came back as numbers: input, axis, dim, size."""
        return [
            (name, axis, dim, size)
            for name, axis, dim in self.plan.axes()
            if name in self._fakes and (size := static_size(self._fakes[name].shape[axis])) is not None
        ]

    def resolve(self) -> tuple[DimMap, Ranges]:
        """Match symbols with names and collect constraints; returns the map and the range of each name.

        Raises:
            CaptureError: A symbolic dim was fixed to a number.
        """
        axes = [
            (name, axis, dim, self._fakes[name].shape[axis])
            for name, axis, dim in self.plan.axes()
            if name in self._fakes
        ]
        self._specialise(self.fixed_axes)
        self._name_symbols([(dim, expression_of(size)) for _, _, dim, size in axes if static_size(size) is None])
        self._declared_ranges()
        if self._env is not None:
            self._branches()
        self.dims.choose_other_sizes(self._tracer_ranges(), self.constraints)
        return self.dims, self._known_ranges()

    def _name_symbols(self, pairs: list[tuple[DimExpr, Any]]) -> None:
        """Bare symbols first, then expressions, then whatever torch solved differently becomes an equality."""
        for plain in (True, False):
            for dim, expression in pairs:
                is_plain = isinstance(dim.lone_atom(), str)
                if expression.is_Symbol and is_plain is plain and expression not in self.dims.names:
                    self.dims.name(expression, dim)
        for dim, expression in pairs:
            found = self.dims.dim(expression)
            if found != dim:
                self._add(Constraint("equal", dim, found, "equal sizes in the traced model"))

    def _specialise(self, fixed: list[tuple[str, int, DimExpr, int]]) -> None:
        if not fixed:
            return
        if not self.allow_specialised:
            raise CaptureError(self._specialised_message(fixed))
        for _, _, dim, size in fixed:
            atom = dim.lone_atom()
            if isinstance(atom, str):
                self.specialised[atom] = size
        values: dict[str, Dim] = dict(self.specialised)
        self.shapes = {n: tuple(substitute(d, values) for d in shape) for n, shape in self.shapes.items()}

    def _specialised_message(self, fixed: list[tuple[str, int, DimExpr, int]]) -> str:
        seen: dict[str, str] = {}
        for name, axis, dim, size in fixed:
            where = self._line_of_fix(self._fakes[name], axis, name)
            seen.setdefault(str(dim), f"  {str(dim)!r} (axis {axis} of {name!r}) became {size}{where}")
        name, axis = fixed[0][:2]
        listed = "\n".join(seen.values())
        return (
            f"capture (torch) cannot keep {'these dims' if len(seen) > 1 else 'this dim'} symbolic, "
            f"because the model fixes the example's size:\n{listed}\n"
            f"Make the model independent of that size, pass dynamic={{{name!r}: None}} to keep the input static, "
            "or allow_specialised=True to accept the number."
        )

    def _line_of_fix(self, fake: Any, axis: int, name: str) -> str:
        """Where a dim was fixed: the user's line of the replacement of its symbol."""
        if self._env is None:
            return ""
        for unknown, (expression, place) in replacements_of(self._env).items():
            sources = getattr(self._env, "var_to_sources", {}).get(unknown, ())
            if expression.is_Integer and any(_names_axis(source, name, axis) for source in sources):
                return self._line(place)
        del fake
        return ""

    def _line(self, place: Any) -> str:
        found = self.findings.lines.get(id(place))
        return f" at {found.text}" if found is not None else ""

    def _declared_ranges(self) -> None:
        """What the user said of a dim's size."""
        for name, (low, high) in self.plan.ranges.items():
            if low is not None and low > 1:
                self._add(Constraint("at_least", symbol(name), low, "declared"))
            if high is not None:
                self._add(Constraint("at_least", high, symbol(name), "declared"))

    def _tracer_ranges(self) -> Ranges:
        """Sizes for which torch's own dims are meant: it narrows ranges to spare itself cases."""
        ranges: Ranges = {}
        for unknown, values in self.program.range_constraints.items():
            dim = self.dims.names.get(unknown)
            if isinstance(dim, DimExpr):
                ranges[str(dim)] = finite_range(values, 1)
        return ranges

    def _known_ranges(self) -> Ranges:
        """Range of each name by the constraints found."""
        ranges: Ranges = dict.fromkeys(self.plan.sizes, (1, None))
        for constraint in self.constraints:
            left, right = constraint.left, constraint.right
            if constraint.kind != "at_least":
                continue
            if isinstance(right, int) and str(left) in ranges:
                ranges[str(left)] = max(right, ranges[str(left)][0] or 1), ranges[str(left)][1]
            elif isinstance(left, int) and str(right) in ranges:
                low, high = ranges[str(right)]
                ranges[str(right)] = low, left if high is None else min(left, high)
        return ranges

    def _branches(self) -> None:
        """Branches that the user's own code took on a size: true for the example, required from then on."""
        for expression, place in guards_of(self._env):
            line = self.findings.lines.get(id(place))
            if line is None or not line.direct:
                continue
            reason = f"branch taken{self._line(place)}"
            try:
                found = relation(expression, self.dims, reason) or self._one_side(expression, reason)
            except CaptureError:
                continue  # arithmetic on floats: the size it led to is a blocker of its own
            if found is not None and not isinstance(found.left - found.right, int):
                self._add(found)

    def undecided(self) -> dict[str, str]:
        """Dims at whose size 1 the user's code may take another branch than in the trace, with the line that asks.

        The tracer holds every size for at least 2, so ``if x.shape[0] == 1`` leaves no guard behind.
        """
        found: dict[str, str] = {}
        for expression, line in self.findings.branches.items():
            try:
                condition = relation(expression, self.dims, "") or self._one_side(expression, "")
            except (CaptureError, DimError):
                continue
            for name in condition.symbols & self.plan.sizes.keys() if condition is not None else ():
                if not self._holds(condition, {**self.plan.sizes, name: 1}):
                    found.setdefault(name, line)
        known = {c.left for c in self.constraints if c.kind == "at_least" and isinstance(c.right, int) and c.right > 1}
        return {name: line for name, line in found.items() if symbol(name) not in known}

    @staticmethod
    def _holds(condition: Constraint | None, sizes: dict[str, int]) -> bool:
        try:
            return condition is None or condition.holds(sizes)
        except DimError:
            return True

    def _one_side(self, expression: Any, reason: str) -> Constraint | None:
        """``size != 4`` as the side of 4 that the example is on: narrower than the truth, but never wrong."""
        if type(expression).__name__ != "Unequality":
            return None
        left, right = (self.dims.dim(argument) for argument in expression.args)
        examples = self.dims.values(left), self.dims.values(right)
        if examples[0] is None or examples[1] is None:
            return None
        larger, smaller = (left, right) if examples[0][0] > examples[1][0] else (right, left)
        return Constraint("at_least", larger, smaller + 1, reason)

    def _add(self, constraint: Constraint) -> None:
        if not any(known.says_same(constraint) for known in self.constraints):
            self.constraints.append(constraint)


def _input_fakes(program: ExportedProgram, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """Fake tensors of the inputs by name."""
    specs = program.graph_signature.input_specs
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    users = [n for n, spec in zip(nodes, specs, strict=True) if spec.kind is InputKind.USER_INPUT]
    return {
        name: node.meta["val"]
        for name, node in zip(names, users, strict=True)
        if isinstance(node.meta.get("val"), torch.Tensor)
    }


def _names_axis(source: Any, name: str, axis: int) -> bool:
    """Whether a tracer's source is this axis of this input."""
    base = getattr(getattr(source, "base", None), "local_name", None)
    if getattr(source, "idx", None) != axis:
        return False
    return base == name or (base is None and name.rpartition(".")[2] in str(getattr(source, "name", "")))
