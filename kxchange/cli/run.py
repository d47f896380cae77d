"""`kx run`."""

from __future__ import annotations

from pathlib import Path

import click

from kxchange.cli.options import output_options, show


@click.command("run")
@click.argument("source")
@click.option("--backend", default="numpy", show_default=True, help="Where to run.")
@click.option("--function", help="Entry point; default the main one.")
@click.option("-i", "--input", "inputs", required=True, type=click.Path(exists=True), help="`.npz` by input name.")
@click.option("-o", "--output", required=True, type=click.Path(), help="`.npz` to write, by output name.")
@output_options
def command(
    source: str, backend: str, function: str | None, inputs: str, output: str, as_json: bool, quiet: bool
) -> None:
    """Run SOURCE on one backend: arrays from an `.npz` in, arrays to an `.npz` out.

    \b
    kx run net.kx -i in.npz -o out.npz
    kx run net.onnx --backend torch -i in.npz -o out.npz
    """
    import numpy as np

    from kxchange import hub
    from kxchange.array_archives import read_arrays
    from kxchange.format.atomic import atomic_writer

    model = hub.load(source)
    arrays = read_arrays(inputs)
    results = hub.run(model, arrays, backend=backend, function=function)
    with atomic_writer(Path(output)) as stream:
        np.savez(stream, **results)  # pyright: ignore[reportArgumentType]
    shapes = {name: f"{array.dtype}{list(array.shape)}" for name, array in results.items()}
    show(as_json, quiet, {"outputs": shapes, "file": output}, "\n".join(f"{n}: {s}" for n, s in shapes.items()))
