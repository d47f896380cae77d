"""`assert_same`: the validation as one line of a test."""

from __future__ import annotations

from os import PathLike
from typing import Any

from kxchange.model import Model
from kxchange.validation.report import Report


def assert_same(
    first: Model | str | PathLike[str],
    second: Model | str | PathLike[str] | None = None,
    **options: Any,
) -> Report:
    """Assert that two models are the same, or that one is the same on every backend.

    Args:
        first: What is right: a model or the path of one.
        second: What is asked about; by default the first itself on every installed backend.
        options: Of `kxchange.validate`, or with `second` of `validate_against`: `backends`, `cases`, `seed` ...

    Returns:
        The report.

    Raises:
        MismatchError: they are not; the message has the table, and the place where they part.
    """
    from kxchange.hub import load
    from kxchange.validation.against import validate_against
    from kxchange.validation.validate import validate

    right = first if isinstance(first, Model) else load(first)
    if second is None:
        report = validate(right, **options)
    else:
        report = validate_against(right, second if isinstance(second, Model) else load(second), **options)
    report.raise_if_failed()
    return report
