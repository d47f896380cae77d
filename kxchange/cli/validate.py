"""`kx validate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kxchange.cli.options import capture_options, is_samples, output_options, read_source, show, split_pair
from kxchange.errors import InputError

if TYPE_CHECKING:
    from kxchange.model import Model
    from kxchange.validation.report import Report


@click.command("validate")
@click.argument("source")
@click.option("--backends", default="all", show_default=True, help="Backends, comma separated.")
@click.option("--against", metavar="OTHER", help="Another model: is it the same as SOURCE?")
@click.option("--cases", default=6, show_default=True, help="Generated input cases.")
@click.option("--seed", default=0, show_default=True, help="Seed of the inputs: the same seed, the same report.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16", "float64"]), help="Judge accuracy in it.")
@click.option("--function", help="Entry point; default the main one.")
@click.option("--timeout", default=900.0, show_default=True, help="Seconds for one backend.")
@click.option("--python", "pythons", multiple=True, metavar="BACKEND=PATH", help="Interpreter for one backend.")
@click.option("--grad", is_flag=True, help="Compare gradients of every parameter and input, too.")
@click.option("--round-trip", is_flag=True, help="Through every backend and back, instead.")
@click.option("--matrix", is_flag=True, help="With --round-trip: on through every second backend, too.")
@click.option("--bisect/--no-bisect", default=True, show_default=True, help="Find the first node that is wrong.")
@click.option("--repro", type=click.Path(path_type=Path, file_okay=False), help="Folder for that node by itself.")
@click.option("--report", "page", type=click.Path(dir_okay=False), help="Write the report as one HTML page.")
@click.option("--junit", type=click.Path(dir_okay=False), help="Write the report as JUnit XML.")
@capture_options
@output_options
def command(
    source: str,
    backends: str,
    against: str | None,
    cases: int,
    seed: int,
    dtype: str | None,
    function: str | None,
    timeout: float,
    pythons: tuple[str, ...],
    grad: bool,
    round_trip: bool,
    matrix: bool,
    bisect: bool,
    repro: Path | None,
    page: str | None,
    junit: str | None,
    dynamic: tuple[str, ...],
    inputs: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Prove that SOURCE computes the same on every backend. Exit code 1 if it does not.

    \b
    kx validate net.kx
    kx validate net.kx --backends torch,onnx --cases 12 --seed 1
    kx validate net.kx --against other.onnx --repro wrong-node
    kx validate net.kx --grad --report report.html
    kx validate net.kx --input samples.npz
    """
    check_options(against, round_trip, grad, dtype, function)
    if page is not None:
        from kxchange.validation.page import require_jinja2

        require_jinja2()  # before minutes of work, not after
    model = read_source(source, dynamic, inputs)
    common = {"cases": cases, "seed": seed}
    if against is not None:
        other = read_source(against, dynamic, inputs)
        report = compare(model, other, function=function, bisect=bisect, **common)
    elif round_trip:
        report = go_round(model, backends, matrix=matrix, **common)
    else:
        settings = {"dtype": dtype or "", "function": function, "timeout": timeout, "bisect": bisect, **common}
        settings |= {"gradients": grad, "depth": page is not None, "inputs": own_samples(inputs)}
        report = prove(model, backends, pythons, settings, show_progress=not quiet and not as_json)
    write_files(report, repro, page, junit)
    show(as_json, quiet, report.to_json(), str(report))
    return 0 if report.ok else 1


def own_samples(inputs: tuple[str, ...]) -> list[Any]:
    """The cases of every `--input FILE.npz`."""
    from kxchange.validation.cases import read_samples

    return [case for text in inputs if is_samples(text) for case in read_samples(text)]


def check_options(against: str | None, round_trip: bool, grad: bool, dtype: str | None, function: str | None) -> None:
    """Refuse options that would be ignored."""
    ignored = {"--grad": grad, "--dtype": dtype, "--round-trip": against and round_trip}
    ignored |= {"--function": round_trip and function}
    mode = "--against" if against else "--round-trip" if round_trip else ""
    given = [option for option, value in ignored.items() if value]
    if mode and given:
        raise InputError(f"{given[0]} has no meaning with {mode}. Leave one of them out.")


def compare(model: Model, other: Model, **settings: Any) -> Report:
    """Validate against another model."""
    from kxchange.validation.against import validate_against

    return validate_against(model, other, **settings)


def go_round(model: Model, backends: str, **settings: Any) -> Report:
    """Validate what comes back from the backends."""
    from kxchange.validation.round_trip import round_trip

    return round_trip(model, backends=backends, **settings)


def write_files(report: Report, repro: Path | None, page: str | None, junit: str | None) -> None:
    """What was asked for beside the table."""
    if repro is not None:
        from kxchange.validation.repro import write_repro

        for row in report.rows:
            if row.place is not None and row.place.repro is not None:
                write_repro(row.place, repro / folder_name(row.backend), backend=row.backend)
    if page is not None:
        report.to_html(page)
    if junit is not None:
        report.to_junit(junit)


def folder_name(backend: str) -> str:
    """A row's name as the name of a folder."""
    return "".join(c if c.isalnum() else "-" for c in backend).strip("-")


def prove(
    model: Model, backends: str, pythons: tuple[str, ...], settings: dict[str, Any], *, show_progress: bool
) -> Report:
    """Validate on the backends, saying which one is done."""
    from kxchange.validation.validate import validate

    def progress(backend: str) -> None:
        if show_progress and sys.stderr.isatty():
            click.echo(f"{backend} done", err=True)

    environments = dict(split_pair(pair, "--python") for pair in pythons)
    return validate(model, backends=backends, pythons=environments, progress=progress, **settings)
