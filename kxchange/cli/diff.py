"""`kx diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kxchange.cli.options import output_options, show

if TYPE_CHECKING:
    from kxchange.model import Model
    from kxchange.validation.report import Report


@click.command("diff")
@click.argument("first")
@click.argument("second")
@click.option("--run/--no-run", default=True, show_default=True, help="Compare the behaviour, too.")
@click.option("--cases", default=4, show_default=True, help="Generated input cases for the behaviour.")
@click.option("--seed", default=0, show_default=True, help="Seed of the inputs.")
@click.option("--recorded", is_flag=True, help="Believe the hashes in two .kx; read weights where they differ.")
@click.option("--report", "page", type=click.Path(dir_okay=False), help="Write the comparison as one HTML page.")
@output_options
def command(
    first: str,
    second: str,
    run: bool,
    cases: int,
    seed: int,
    recorded: bool,
    page: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Compare two models: structure, shapes, attributes, weights, then behaviour. Exit code 1 if they differ.

    Models of another structure that compute the same differ, and the behaviour says that they are the same.

    \b
    kx diff net.kx other.onnx
    kx diff net.kx other.kx --no-run
    kx diff 20gb.kx other.kx --recorded   seconds, not minutes; kx inspect --verify finds damage that hashes hide
    """
    import json

    from kxchange import hub
    from kxchange.comparison import compare_models

    if page is not None:
        from kxchange.validation.page import require_jinja2

        require_jinja2()
    models = hub.load(first), hub.load(second)
    found = compare_models(*models, equal=recorded_equal(first, second, models[0]) if recorded else ())
    report, note = behaviour(*models, cases, seed) if (found and run) or page is not None else (None, "")
    if report is not None:
        report.subject, report.differences = f"{first} and {second}", found
        if page is not None:
            report.to_html(page)
    lines = [*found, *([note] if note else []), *(["", "behaviour:", str(report)] if report is not None else [])]
    data = {"differences": found, "behaviour": json.loads(report.to_json()) if report is not None else note or None}
    show(as_json, quiet, data, "\n".join(lines) if found else "no difference")
    return 1 if found else 0


def recorded_equal(first: str, second: str, model: Model) -> set[str]:
    """Parameters whose bytes two `.kx` say are the same: as true as the files are whole."""
    from kxchange.errors import InputError
    from kxchange.format.model_file import recorded_hashes

    left, right = recorded_hashes(first), recorded_hashes(second)
    if left is None or right is None:
        raise InputError(
            "--recorded compares the hashes that .kx files record, and one of these is none. Leave it out."
        )
    names = {name: entry.alias_of or name for name, entry in model.parameters.items()}
    return {
        name for name, stored in names.items() if left.get(stored) is not None and left[stored] == right.get(stored)
    }


def behaviour(first: Model, second: Model, cases: int, seed: int) -> tuple[Report | None, str]:
    """The second model judged by the first, or why that cannot be."""
    from kxchange.errors import KxchangeError
    from kxchange.validation.against import validate_against

    try:
        return validate_against(first, second, cases=cases, seed=seed), ""
    except KxchangeError as error:
        return None, f"behaviour: not compared, {error}"
