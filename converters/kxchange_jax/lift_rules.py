"""Every family of lifting rules."""

from __future__ import annotations

from kxchange_jax import (
    lift_control,  # noqa: F401
    lift_elementwise,  # noqa: F401
    lift_expansion,  # noqa: F401
    lift_factorization,  # noqa: F401
    lift_gather,  # noqa: F401
    lift_linalg,  # noqa: F401
    lift_ordering,  # noqa: F401
    lift_reduction,  # noqa: F401
    lift_refusals,  # noqa: F401
    lift_scatter,  # noqa: F401
    lift_selection,  # noqa: F401
    lift_shape,  # noqa: F401
    lift_window,  # noqa: F401
)
