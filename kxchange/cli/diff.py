"""`kx diff`."""

from __future__ import annotations

import click

from kxchange.cli.options import output_options, show


@click.command("diff")
@click.argument("first")
@click.argument("second")
@output_options
def command(first: str, second: str, as_json: bool, quiet: bool) -> int:
    """Compare two models: structure, shapes, attributes, weights. Exit code 1 if they differ."""
    from kxchange import hub
    from kxchange.comparison import compare_models

    found = compare_models(hub.load(first), hub.load(second))
    text = "\n".join(found) if found else "no difference"
    show(as_json, quiet, {"differences": found}, text)
    return 1 if found else 0
