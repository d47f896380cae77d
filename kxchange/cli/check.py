"""`kx check`."""

from __future__ import annotations

import click

from kxchange.cli.options import capture_options, output_options, read_source, show


@click.command("check")
@click.argument("source")
@click.option("--to", "targets", required=True, help="Backends, comma separated.")
@capture_options
@output_options
def command(
    source: str, targets: str, dynamic: tuple[str, ...], inputs: tuple[str, ...], as_json: bool, quiet: bool
) -> int:
    """List every blocker and warning of converting SOURCE at once; write nothing. Exit code 1 if there is a blocker.

    \b
    kx check net.kx --to onnx,keras
    kx check mypkg.nets:build --to jax --input x=float32[2,3,32,32]
    """
    from kxchange.checking import check_model

    model = read_source(source, dynamic, inputs)
    results = [check_model(model, target.strip()) for target in targets.split(",")]
    show(as_json, quiet, {"checks": [result.to_json() for result in results]}, "\n".join(map(str, results)))
    return 1 if any(result.blockers for result in results) else 0
