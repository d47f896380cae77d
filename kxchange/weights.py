"""Weights of one file put onto the architecture of another model, with a report of what fitted and what did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np

from kxchange.errors import WeightError
from kxchange.format.names import shown
from kxchange.model import Array, Model, Parameter, Role
from kxchange.passes.dead_code import read_parameters
from kxchange.types import DType, TensorType
from kxchange.weight_files import read_weights

Rename = Mapping[str, str] | Callable[[str], str | None]


@dataclass(slots=True)
class WeightReport:
    """What became of every name.

    Attributes:
        loaded: Names of the model whose values came from the file.
        missing: Names of the model that the file does not have, and that some function reads.
        unread: Names of the model that the file does not have, and that no function reads (counters of training steps).
        unexpected: Names of the file that the model does not have.
        reshaped: (name, shape in the file, shape in the model) where they differ. Axes of size 1 are put in or taken
            out; any other difference is refused.
        retyped: (name, element type in the file, in the model) where they differ; the values were cast.
        untied: Tied names for which the file has different values.
        ignored: Names of the file outside the part that was read.
        prefix: What the file puts before the model's names (``module.``), or with a leading ``+`` what the model does.
    """

    loaded: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])
    unread: list[str] = field(default_factory=list[str])
    unexpected: list[str] = field(default_factory=list[str])
    reshaped: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    retyped: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    untied: list[str] = field(default_factory=list[str])
    ignored: list[str] = field(default_factory=list[str])
    prefix: str = ""

    @property
    def problems(self) -> list[str]:
        """One line for each kind of name that did not fit."""
        refused = [f"{name} ({there} in the file, {here} in the model)" for name, there, here in self._misfits()]
        kinds = {
            "missing from the file": self.missing,
            "unexpected in the file": self.unexpected,
            "of another shape": refused,
            "tied in the model, but different in the file": self.untied,
        }
        return [f"{kind} ({len(names)}): {_listed(names)}" for kind, names in kinds.items() if names]

    @property
    def ok(self) -> bool:
        """Whether every name that matters had its values in the file, and the file had no others."""
        return not self.problems

    def _misfits(self) -> list[tuple[str, str, str]]:
        taken = set(self.loaded)
        return [entry for entry in self.reshaped if entry[0] not in taken]

    def __str__(self) -> str:
        """A few lines for people."""
        lines = [f"{len(self.loaded)} tensors loaded" + (f" (prefix {self.prefix!r})" if self.prefix else "")]
        lines += self.problems
        fitted = [entry for entry in self.reshaped if entry not in self._misfits()]
        casts = Counter((there, here) for _, there, here in self.retyped)
        lines += [f"axes of size 1 fitted: {_listed([name for name, *_ in fitted])}"] if fitted else []
        lines += [f"cast from {there} to {here}: {count} tensors" for (there, here), count in casts.items()]
        lines += [f"not in the file, and read by nothing: {_listed(self.unread)}"] if self.unread else []
        lines += [f"{len(self.ignored)} tensors of the file are outside the part that was read"] if self.ignored else []
        return "\n".join(lines)


def _listed(names: list[str]) -> str:
    return ", ".join(map(shown, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def load_weights(
    model: Model,
    weights: str | PathLike[str] | Mapping[str, Any],
    *,
    strict: bool = True,
    prefix: str | None = None,
    rename: Rename | None = None,
) -> tuple[Model, WeightReport]:
    """Put the tensors of a file onto a model of the same architecture.

    Args:
        model: The architecture; its own values are replaced.
        weights: A file or folder of weights (`read_weights`), or arrays by name.
        strict: Refuse names that are missing, unexpected or of another shape. Otherwise those keep the model's values,
            and the report names them.
        prefix: What the file's names have before the model's (``"module."``, ``"state_dict."``); with a leading ``+``,
            what the model's have before the file's. None finds it, and refuses where several fit equally well.
        rename: From the file's names to the model's: a dict, or a function that gives None for a name to leave out.

    Returns:
        A model with the same functions, and the report. The given model is unchanged.

    Raises:
        WeightError: Names do not fit (all of them are listed), values cannot be cast, or the prefix is ambiguous.
    """
    tensors = _named(weights)
    if rename is not None:
        tensors = _renamed(tensors, rename)
    wanted = {name: entry for name, entry in model.parameters.items() if entry.role is not Role.CONSTANT}
    report = WeightReport()
    chosen = find_prefix(tensors, wanted) if prefix is None else prefix
    report.prefix = chosen
    found = _stripped(tensors, chosen, report)
    fresh = _assign(model, wanted, found, report)
    if strict and report.problems:
        listed = "\n  ".join(report.problems)
        raise WeightError(
            f"load_weights cannot put these weights onto the model:\n  {listed}\n"
            "Take the weights of this architecture, map names with rename=, or pass strict=False to keep the model's "
            "own values for what does not fit."
        )
    provenance = dict(model.provenance)
    if not isinstance(weights, Mapping):
        provenance["weights"] = Path(weights).name
    return model.replace(parameters=fresh, samples=[], provenance=provenance), report


def _named(weights: str | PathLike[str] | Mapping[str, Any]) -> dict[str, Parameter]:
    if not isinstance(weights, Mapping):
        return read_weights(weights)
    return {
        name: value if isinstance(value, Parameter) else Parameter(name, np.asarray(value))
        for name, value in weights.items()
    }


def _renamed(tensors: Mapping[str, Parameter], rename: Rename) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    for name, tensor in tensors.items():
        new = rename(name) if callable(rename) else rename.get(name, name)
        if new is None:
            continue
        if new in found:
            raise WeightError(f"rename gives two tensors of the file the name {shown(new)}.")
        found[new] = tensor
    return found


def find_prefix(tensors: Iterable[str], wanted: Iterable[str]) -> str:
    """The prefix under which most of the file's names are the model's; see `load_weights`.

    Raises:
        WeightError: Two prefixes fit equally well.
    """
    theirs, ours = list(tensors), set(wanted)
    counts: Counter[str] = Counter({"": len(ours & set(theirs))})
    for name in theirs:
        counts.update(name[: -len(tail)] for tail in _tails(name) if tail in ours)
    known = set(theirs)
    for name in ours:
        counts.update("+" + name[: -len(tail)] for tail in _tails(name) if tail in known)
    best = max(counts.values())
    if counts[""] == best:
        return ""
    fitting = sorted(prefix for prefix, count in counts.items() if count == best)
    if len(fitting) > 1:
        raise WeightError(
            f"load_weights finds the model's names {len(fitting)} times in the file, below "
            f"{', '.join(map(shown, fitting[:6]))}. Choose one with prefix=."
        )
    return fitting[0]


def _tails(name: str) -> Iterable[str]:
    """What is left of a dotted name without its first parts."""
    parts = name.split(".")
    return (".".join(parts[start:]) for start in range(1, len(parts)))


def _stripped(tensors: Mapping[str, Parameter], prefix: str, report: WeightReport) -> dict[str, Parameter]:
    if prefix.startswith("+"):
        return {prefix[1:] + name: tensor for name, tensor in tensors.items()}
    report.ignored = [name for name in tensors if not name.startswith(prefix)]
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _assign(
    model: Model, wanted: Mapping[str, Parameter], found: dict[str, Parameter], report: WeightReport
) -> dict[str, Parameter]:
    """The model's parameters with new values; the report is filled in."""
    read = {name for function in model.functions.values() for name in read_parameters(function.graph)}
    groups: dict[str, list[str]] = {}
    for name, entry in wanted.items():
        groups.setdefault(entry.alias_of or name, []).append(name)
    fresh = dict(model.parameters)
    for first, names in groups.items():
        entry = model.parameters[first]
        given = [name for name in names if name in found]
        if not given:
            (report.missing if read & {first, *names} else report.unread).append(first)
            continue
        if any(not _same(found[given[0]], found[other]) for other in given[1:]):
            report.untied += given
            continue
        data = _fitted(entry, found[given[0]], report)
        if data is not None:
            fresh[first] = entry.replace(data=data)
            report.loaded += names
    report.unexpected = [name for name in found if name not in wanted]
    return fresh


def _same(left: Parameter, right: Parameter) -> bool:
    return left.type == right.type and left.array.tobytes() == right.array.tobytes()


def _fitted(entry: Parameter, tensor: Parameter, report: WeightReport) -> Callable[[], Array] | None:
    """A function that gives the file's values with the model's shape and type; None where the shapes do not fit."""
    name, here, there = entry.name, entry.type, tensor.type
    if here.shape != there.shape:
        report.reshaped.append((name, str(list(there.shape)), str(list(here.shape))))
        if [size for size in here.shape if size != 1] != [size for size in there.shape if size != 1]:
            return None
    if here.dtype is not there.dtype:
        if not _castable(there.dtype, here.dtype):
            raise WeightError(f"load_weights cannot make {shown(name)} ({here}) of the file's {there}: cast it first.")
        report.retyped.append((name, there.dtype.value, here.dtype.value))
    return lambda: _cast(tensor.array, here)


def _castable(there: DType, here: DType) -> bool:
    """Floats become floats of any width, integers those that hold all their values."""
    if there.is_floating or there.is_complex:
        return here.is_floating and not there.is_complex or here.is_complex
    return not (here.is_floating or here.is_complex) and np.can_cast(there.numpy, here.numpy, "safe")


def _cast(array: Array, type: TensorType) -> Array:
    shaped = array.reshape(cast("tuple[int, ...]", type.shape))
    return shaped if shaped.dtype == type.dtype.numpy else shaped.astype(type.dtype.numpy)
