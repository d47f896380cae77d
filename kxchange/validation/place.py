"""Where two runs part: the node, what it says on both sides, its tensors, and a folder that repeats it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from kxchange.model import Array, Model
from kxchange.validation.measure import as_float


@dataclass(frozen=True, slots=True)
class Statistics:
    """One tensor in a few numbers; those of floats leave out what is not finite."""

    dtype: str
    shape: tuple[int, ...]
    minimum: float
    maximum: float
    mean: float
    deviation: float
    nan: int
    infinite: int

    @classmethod
    def of(cls, array: Array) -> Statistics:
        """The numbers of an array."""
        values = as_float(array).reshape(-1)
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        mean, deviation = (float(finite.mean()), float(finite.std())) if finite.size else (0.0, 0.0)
        counts = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        return cls(array.dtype.name, tuple(array.shape), low, high, mean, deviation, *counts)

    def __str__(self) -> str:
        holes = f", {self.nan} NaN" * bool(self.nan) + f", {self.infinite} infinite" * bool(self.infinite)
        return (
            f"{self.dtype}{list(self.shape)} in [{self.minimum:.6g}, {self.maximum:.6g}], mean {self.mean:.6g}, "
            f"deviation {self.deviation:.6g}{holes}"
        )


@dataclass(frozen=True, slots=True)
class Repro:
    """One node by itself.

    Attributes:
        model: What is right, in the model's own dtypes or in float64.
        other: The other model's node; None where the same model fails on a backend.
        inputs: Its operands.
        expected: What the float64 reference gives for them.
        found: What came out on the other side.
    """

    model: Model
    other: Model | None
    inputs: dict[str, Array]
    expected: dict[str, Array]
    found: dict[str, Array]


@dataclass(slots=True)
class Place:
    """The first node at which two runs part.

    Attributes:
        op: Of the node.
        name: Of the node.
        path: Module path in the source.
        line: The user's source line, ``file:line``.
        attributes: What the node says on the right side.
        other_op: The op on the other side; empty where it is the same node.
        other_name: Its node there, where the graphs differ in structure and the fault may be what only that one has.
        other_attributes: What differs there.
        weights: Parameters that the node reads and that differ.
        profile: ``float64`` or ``native``.
        case: Label of the inputs.
        error: Relative RMSE of the value, run end to end; None where nothing of its shape stands on the other side.
        local_error: The same with the right operands fed to just this node; None where that could not be run.
        culprit: Whether the node by itself is wrong. If not, its operands already differ a little, and it magnifies.
        confirmed: Whether the model also fails with none of its inner values made outputs.
        right: Statistics of the value as it should be.
        found: Statistics of the value as it is.
        traps: Codes of known differences between frameworks at such a node, with their names.
        note: What else is worth knowing.
        repro: The node by itself.
    """

    op: str
    name: str = ""
    path: str = ""
    line: str = ""
    attributes: dict[str, str] = field(default_factory=dict[str, str])
    other_op: str = ""
    other_name: str = ""
    other_attributes: dict[str, str] = field(default_factory=dict[str, str])
    weights: list[str] = field(default_factory=list[str])
    profile: str = ""
    case: str = ""
    error: float | None = 0.0
    local_error: float | None = None
    culprit: bool = False
    confirmed: bool = True
    right: Statistics | None = None
    found: Statistics | None = None
    traps: list[str] = field(default_factory=list[str])
    note: str = ""
    repro: Repro | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything but the repro."""
        names = [name for name in self.__slots__ if name != "repro"]
        record = {name: getattr(self, name) for name in names}
        return record | {
            side: asdict(statistics) if statistics else None
            for side, statistics in (("right", self.right), ("found", self.found))
        }

    def __str__(self) -> str:
        where = " ".join(part for part in (repr(self.name) if self.name else "", self.line, self.path) if part)
        kind = "the culprit" if self.culprit else "the first to differ, right by itself"
        if self.local_error is None:
            kind = "the first to differ"
        lines = [f"place: {self.op} {where}: {kind} ({self.profile}, {self.case})"]
        lines += [f"  {name} = {value}" + self._other(name) for name, value in self.attributes.items()]
        lines += [f"  there it is {self.other_op}"] * bool(self.other_op)
        lines += [f"  other bytes in {name!r}" for name in self.weights]
        lines += [f"  right {self.right}"] * bool(self.right) + [f"  found {self.found}"] * bool(self.found)
        local = "" if self.local_error is None else f", {self.local_error:.1e} with the right operands"
        lines += [] if self.error is None else [f"  relative error {self.error:.1e}{local}"]
        lines += [f"  {trap}: kx explain {trap.partition(' ')[0]}" for trap in self.traps]
        return "\n".join([*lines, *([f"  {self.note}"] if self.note else [])])

    def _other(self, name: str) -> str:
        return f", there {self.other_attributes[name]}" if name in self.other_attributes else ""
