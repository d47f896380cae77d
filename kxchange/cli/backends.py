"""`kx backends`."""

from __future__ import annotations

import sys
from typing import Any

import click

from kxchange.cli.options import output_options, show

VERBS = ("load", "capture", "build", "save", "prepare")
PIPE_WIDTH = 120


@click.command("backends")
@output_options
def command(as_json: bool, quiet: bool) -> None:
    """List the installed converters, their versions, and what each can do.

    \b
    kx backends
    kx backends --json
    """
    from kxchange.converter import converters

    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "installed": not record.missing,
            "versions": {} if record.missing else record.versions(),
            "verbs": [verb for verb in VERBS if getattr(record, f"{verb}_verb")],
            "suffixes": list(record.suffixes),
            "install": f'pip install "kxchange[{record.extra or name}]"' if record.missing else "",
        }
        for name, record in converters().items()
    ]

    def table() -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        grid = Table("backend", "versions", "can", "writes", box=None)
        grid.columns[1].no_wrap = True  # A command is copied whole.
        for row in rows:
            versions = ", ".join(f"{k} {v}" for k, v in row["versions"].items()) or str(row["install"] or "built in")
            grid.add_row(row["name"], escape(versions), " ".join(row["verbs"]), " ".join(row["suffixes"]))
        Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(grid)

    show(as_json, quiet, {"backends": rows}, table)
