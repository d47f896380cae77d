"""Every error kxchange raises on purpose.

A message reads: who cannot do what, on which node and types: why. What to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class KxchangeWarning(UserWarning):
    """Something that works, and may not be what was meant."""


class KxchangeError(Exception):
    """Base of every deliberate error: catch this to catch them all."""


class DimError(KxchangeError):
    """A symbolic dimension that is malformed, unbound or too large."""


class TypeInferenceError(KxchangeError):
    """Operand types or attributes that an op's specification rejects."""


class InputError(KxchangeError):
    """Inputs given to a model that do not fit its signature."""


class FormatError(KxchangeError):
    """A file that is damaged, hostile, or not what its name says."""


class LimitError(FormatError):
    """A file or a result beyond a stated size limit."""


class SignatureError(KxchangeError):
    """A model that its signature does not prove, or that has none."""


class WriteError(KxchangeError):
    """A file that could not be written; the previous one is intact."""


class UnknownFormatError(KxchangeError):
    """A source or target whose format no installed converter knows."""


class NoArchitectureError(UnknownFormatError):
    """A file that holds tensors, but says nothing of what to compute with them."""


class MissingBackendError(KxchangeError):
    """A converter whose framework is not installed."""


class UnknownConverterError(KxchangeError):
    """A backend name that no installed converter has."""


class CaptureError(KxchangeError):
    """A live object that cannot be captured faithfully."""


class BuildError(KxchangeError):
    """A built object whose parameters or behaviour are not the model's."""


class WeightError(KxchangeError):
    """Parameters that are missing, unexpected or of another type."""


class MismatchError(KxchangeError):
    """Two models that should be the same and are not."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """One reason why a conversion cannot be done, and every place where it holds."""

    op: str
    reason: str
    places: tuple[str, ...] = ()

    def __str__(self) -> str:
        count = f"{len(self.places)} place{'s' if len(self.places) != 1 else ''}"
        shown = ", ".join(self.places[:3]) + (", ..." if len(self.places) > 3 else "")
        return f"{self.op} ({count}{': ' + shown if shown else ''}): {self.reason}"


class UnsupportedOpError(KxchangeError):
    """Ops that a target cannot take or a lift does not know, all of them at once."""

    def __init__(self, who: str, blockers: Sequence[Blocker], advice: str = "") -> None:
        self.who = who
        self.blockers = tuple(blockers)
        lines = "\n".join(f"  {blocker}" for blocker in self.blockers)
        noun = "op" if len(self.blockers) == 1 else "ops"
        super().__init__(f"{who} cannot take {len(self.blockers)} {noun}:\n{lines}" + (f"\n{advice}" if advice else ""))
