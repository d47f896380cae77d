"""The table of hostile inputs: what each file is, and what opening it must do.

Numbers are those of the threat model in `docs/security.md`. Files are made when the tests run; none is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Make = Callable[[Path], Any]
REFUSE, SAFE, KEEP = "refuse", "safe", "keep"


@dataclass(frozen=True, slots=True)
class Case:
    """One hostile input.

    Attributes:
        number: Its row in the threat model.
        name: What it does.
        make: Writes it into an empty folder; returns the path to open (`net.kx` in the folder if None).
        verdict: `refuse`: a typed error; `safe`: a typed error or a model, within the limits; `keep`: it must load.
        match: What the refusal must say, so that it is refused for this fault and not for another.
        action: What the probe does with the path: see `probe.ACTIONS`.
    """

    number: int
    name: str
    make: Make
    verdict: str = REFUSE
    match: str = ""
    action: str = "load"


@dataclass(slots=True)
class Group:
    """Cases that one process opens one after the other.

    Attributes:
        name: What they have in common.
        honest: Writes a sound file of the same format, opened first: it must load, and brings in every import.
        needs: Modules without which the cases cannot be made.
    """

    name: str
    honest: Callable[[Path], Path] | None = None
    needs: tuple[str, ...] = ()
    cases: list[Case] = field(default_factory=list[Case])

    def add(
        self,
        number: int,
        name: str,
        make: Make,
        match: str = "",
        *,
        verdict: str = REFUSE,
        action: str = "load",
    ) -> None:
        """Append one case."""
        self.cases.append(Case(number, name, make, verdict, match, action))
