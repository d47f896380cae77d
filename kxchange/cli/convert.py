"""`kx convert`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kxchange.cli.options import capture_options, output_options, read_source, show

if TYPE_CHECKING:
    from kxchange.validation.convert import Conversion


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

    if max_shard_size is not None:
        from kxchange.format.sharding import parse_size

        parse_size(max_shard_size)  # a slip of the keys is said before minutes of work
    model = read_source(source, dynamic, inputs)
    loaded = ""
    if weights is not None:
        from kxchange.weights import load_weights

        model, report = load_weights(model, weights)
        loaded = f"{weights}: {report}"
    given = {"opset": opset, "max_shard_size": max_shard_size}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    done = convert(model, target, to=to, validate_after=not no_validate, **options)
    data = {**numbers(done), "files": [str(file) for file in done.files], "ok": done.ok, "read_back": done.read_back}
    if done.report is not None:
        import json

        data["report"] = json.loads(done.report.to_json())
    show(as_json, quiet, data, lambda: click.echo("\n".join(told(source, target, done, data, loaded))))
    return 0 if done.ok else 1


def numbers(done: Conversion) -> dict[str, Any]:
    """Layers, parameters, ties, dims and transposes of a conversion."""
    from kxchange.cli.layers import activation_transposes, layers

    model = done.model
    entries = model.parameters.values()
    rows = [layers(f.graph, model.parameters, rows=100_000) for f in model.functions.values()]
    before, after = (
        sum(activation_transposes(f.graph) for f in each.functions.values()) if each is not None else None
        for each in (model, done.back)
    )
    return {
        "layers": sum(map(len, rows)),
        "nodes": sum(len(function.graph.nodes()) for function in model.functions.values()),
        "parameters": len(entries),
        "tied": sum(entry.alias_of is not None for entry in entries),
        "bytes": sum(entry.nbytes for entry in entries if entry.alias_of is None),
        "dims": list(model.dims),
        "transposes": {"source": before, "target": after},
    }


def counted(count: int, noun: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def told(source: str, target: str, done: Conversion, data: dict[str, Any], loaded: str) -> list[str]:
    """The conversion in about five lines; every row of the proof where it is not SAME."""
    from kxchange.cli.text import plain

    files = ", ".join(f"{plain(file)} ({file.stat().st_size:,} bytes)" for file in done.files[:4])
    files += f" and {len(done.files) - 4} more" if len(done.files) > 4 else ""
    moved = data["transposes"]
    turned = f"{moved['source']} in the source"
    turned += f", {moved['target']} in {plain(target)}" if moved["target"] is not None else ""
    lines = [
        f"{plain(source)} -> {plain(target)}: {counted(data['layers'], 'layer')}, {counted(data['nodes'], 'node')}",
        f"  parameters  {data['parameters']} ({data['bytes']:,} bytes), {data['tied']} tied",
        f"  sizes       {', '.join(map(plain, data['dims'])) or 'all fixed'}",
        f"  transposes  {turned}",
        *([f"  weights     {plain(loaded)}"] if loaded else []),
    ]
    if done.report is None:
        lines.append("  proof       none: --no-validate")
    else:
        verdicts = ", ".join(f"{name} {verdict}" for name, verdict in done.report.verdicts.items())
        lines.append(f"  proof       {done.report.verdict} ({verdicts})")
        lines += [] if done.read_back else ["              the file was not read back: no reader for it is installed"]
    lines.append(f"  files       {files or 'none: the result is WRONG, and was not kept'}")
    return [*lines, *(["", str(done.report)] if done.report is not None and not done.ok else [])]
