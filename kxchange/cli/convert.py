"""`kx convert`."""

from __future__ import annotations

from typing import Any

import click

from kxchange.cli.options import capture_options, output_options, read_source, show


@click.command("convert")
@click.argument("source")
@click.argument("target")
@click.option("--to", help="Backend or format, where the suffix does not say it.")
@click.option("--opset", type=int, help="ONNX opset.")
@click.option("--weights", metavar="PATH", help="Weights to put onto SOURCE: .safetensors, .pt, a folder of shards.")
@click.option("--max-shard-size", metavar="SIZE", help="Split a .kx above this, for example 5GB.")
@click.option("--no-validate", is_flag=True, help="Do not prove the result.")
@capture_options
@output_options
def command(
    source: str,
    target: str,
    to: str | None,
    opset: int | None,
    weights: str | None,
    max_shard_size: str | None,
    no_validate: bool,
    dynamic: tuple[str, ...],
    inputs: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Convert SOURCE to TARGET and prove that the result is the same model.

    \b
    kx convert net.onnx net.kx
    kx convert mypkg.nets:build net.onnx --input x=float32[2,3,32,32] --opset 17
    kx convert mypkg.nets:build net.kx --input x=float32[2,3,32,32] --weights model.safetensors.index.json
    """
    from kxchange.validation.convert import convert

    model = read_source(source, dynamic, inputs)
    loaded = ""
    if weights is not None:
        from kxchange.weights import load_weights

        model, report = load_weights(model, weights)
        loaded = f"{weights}: {report}"
    given = {"opset": opset, "max_shard_size": max_shard_size}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    done = convert(model, target, to=to, validate_after=not no_validate, **options)
    data = {"files": [str(file) for file in done.files], "ok": done.ok, "read_back": done.read_back}
    if done.report is not None:
        import json

        data["report"] = json.loads(done.report.to_json())
    written = ", ".join(map(str, done.files)) or "nothing: the result is WRONG, and was not kept"
    lines = [f"{source} -> {written}", describe(model), *([loaded] if loaded else [])]
    lines += [str(done.report)] if done.report is not None else ["not validated"]
    if done.report is not None and not done.read_back:
        lines.append("the file itself was not read back: no reader for its format is installed")
    show(as_json, quiet, data, "\n".join(lines))
    return 0 if done.ok else 1


def describe(model: Any) -> str:
    """Functions, parameters, ties and dims in one line."""
    nodes = sum(len(function.graph.nodes()) for function in model.functions.values())
    tied = sum(entry.alias_of is not None for entry in model.parameters.values())
    size = sum(entry.nbytes for entry in model.parameters.values() if entry.alias_of is None)
    dims = ", ".join(model.dims) or "none"
    return f"{nodes} nodes, {len(model.parameters)} parameters ({tied} tied, {size:,} bytes), symbolic dims: {dims}"
