"""Samples of every op, one module per family; each is a law that the reference and every converter keep.

from kxchange.testing.samples import normal, samples

samples("silu", [normal(("batch", 3), 5)])
samples("clip", [normal(4), values(-1.0), None], note="A11")
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from kxchange.spec import REGISTRY, freeze
from kxchange.testing.sample import (
    FLOAT,
    FLOATING,
    Operand,
    Sample,
    booleans,
    dim,
    distinct,
    integers,
    normal,
    uniform,
    values,
)
from kxchange.types import DType

__all__ = [
    "FLOAT",
    "FLOATING",
    "Operand",
    "Sample",
    "all_samples",
    "booleans",
    "dim",
    "distinct",
    "integers",
    "normal",
    "samples",
    "uniform",
    "values",
]

SAMPLES: dict[str, list[Sample]] = {}


def samples(
    op: str,
    operands: Sequence[Operand | None] = (),
    attrs: Mapping[str, Any] | None = None,
    *,
    dims: Mapping[str, int] | None = None,
    dtypes: Iterable[DType | str] | None = None,
    differentiable: bool | None = None,
    note: str = "",
) -> Sample:
    """Register one sample of `op`; see `Sample` for the arguments.

    Samples without a floating operand (or `FLOAT` attribute) run once, whatever `dtypes` says.
    """
    given = attrs or {}
    floating = any(o is not None and o.dtype is None for o in operands) or FLOAT in given.values()
    chosen = tuple(DType(d) for d in dtypes) if dtypes is not None else FLOATING
    family = SAMPLES.setdefault(op, [])
    family.append(
        Sample(
            op=op,
            operands=tuple(operands),
            attrs={name: freeze(value) for name, value in given.items()},
            dims=dims or {},
            dtypes=chosen if floating else chosen[:1],
            differentiable=differentiable,
            note=note,
            index=len(family),
        )
    )
    return family[-1]


def all_samples() -> dict[str, list[Sample]]:
    """Every registered sample by op, with the sample modules of all families imported."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    if unknown := SAMPLES.keys() - REGISTRY.keys():
        raise ValueError(f"samples of ops that do not exist: {sorted(unknown)}")
    return SAMPLES
