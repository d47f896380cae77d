"""`kx bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kxchange.cli.options import output_options, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kxchange.serving.bench import Measurement


@click.command("bench")
@click.argument("source", type=click.Path(exists=True))
@click.option("--backends", default="all", show_default=True, help="Names, separated by commas.")
@click.option("--batch", "batches", default="1,8,32", show_default=True, help="Samples per run, separated by commas.")
@click.option("--seconds", type=click.FloatRange(0.01), default=2.0, show_default=True, help="Per measurement.")
@click.option("--plot", "plot_path", type=click.Path(dir_okay=False), help="SVG of throughput by batch size, to write.")
@output_options
def command(
    source: str, backends: str, batches: str, seconds: float, plot_path: str | None, as_json: bool, quiet: bool
) -> None:
    """Measure latency and throughput of SOURCE on several backends, each in a process of its own.

    \b
    kx bench net.kx --backends onnx,torch
    kx bench net.onnx --batch 1,64 --seconds 5 --plot net.svg
    """
    from pathlib import Path

    from kxchange.errors import InputError
    from kxchange.format.atomic import atomic_write_bytes
    from kxchange.serving.bench import bench, chosen_backends, plot, to_json

    sizes = [part.strip() for part in batches.split(",")]
    if not all(part.isdigit() and 0 < int(part) <= 65536 for part in sizes):
        raise InputError(f"--batch takes sizes such as 1,8,32, not {batches!r}.")
    found = bench(Path(source), chosen_backends(backends), [int(part) for part in sizes], seconds)
    if plot_path:
        atomic_write_bytes(plot_path, plot(found).encode())
    show(as_json, quiet, {"measurements": to_json(found)}, lambda: print_table(found))


def print_table(found: Sequence[Measurement]) -> None:
    """The measurements side by side."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("backend", "batch", "p50 ms", "p90 ms", "p99 ms", "samples/s", box=None)
    for entry in found:
        if entry.milliseconds is None:
            reason = entry.error.splitlines()[-1][:60] if entry.error else "-"
            table.add_row(entry.backend, str(entry.batch), escape(reason))
            continue
        times = [f"{value:.3f}" for value in entry.milliseconds.values()]
        table.add_row(entry.backend, str(entry.batch or "-"), *times, f"{entry.throughput:,.0f}")
    Console().print(table)
