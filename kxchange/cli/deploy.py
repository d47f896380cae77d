"""`kx deploy`."""

from __future__ import annotations

import click

from kxchange.cli.options import output_options, show


@click.command("deploy")
@click.argument("source", type=click.Path(exists=True))
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--to", required=True, type=click.Choice(["triton", "kserve", "ray"]), help="What will serve it.")
@click.option("--name", default="", help="Of the model; default the file's.")
@click.option("--version", default="1", show_default=True, help="A number.")
@click.option("--max-batch", type=click.IntRange(0), default=0, show_default=True, help="Samples to join; 0: never.")
@click.option("--replicas", type=click.IntRange(1), default=2, show_default=True, help="Copies, for KServe and Ray.")
@output_options
def command(
    source: str,
    folder: str,
    to: str,
    name: str,
    version: str,
    max_batch: int,
    replicas: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write SOURCE into FOLDER as Triton, KServe or Ray Serve take it, proven first.

    The folder of a Triton repository is also served by `kx serve FOLDER`.

    \b
    kx deploy net.kx models --to triton
    kx deploy net.kx manifests --to kserve --name digits --replicas 3
    """
    from pathlib import Path

    from kxchange.serving.launch import NEEDED, NEEDED_FOR_GRPC, require

    require((*NEEDED, *NEEDED_FOR_GRPC))
    from kxchange.serving.deploy import deploy

    written = deploy(Path(source), to, Path(folder), name=name, version=version, max_batch=max_batch, replicas=replicas)
    files = [str(path) for path in written]
    show(as_json, quiet, {"files": files}, "\n".join(f"wrote {file}" for file in files))
