"""`kx inspect`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from kxchange.cli.options import capture_options, output_options, read_source, show

if TYPE_CHECKING:
    from pathlib import Path

    from kxchange.model import Model


@click.command("inspect")
@click.argument("source")
@click.option("--graph", "with_graph", is_flag=True, help="List the nodes.")
@click.option("--ops", "with_ops", is_flag=True, help="Count the ops.")
@click.option("--weights", "with_weights", is_flag=True, help="List the parameters.")
@click.option("--verify", is_flag=True, help="Hash every byte of a .kx file.")
@capture_options
@output_options
def command(
    source: str,
    with_graph: bool,
    with_ops: bool,
    with_weights: bool,
    verify: bool,
    dynamic: tuple[str, ...],
    inputs: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what is in SOURCE, a model or a file of weights. Weights are not read unless --verify asks for it.

    \b
    kx inspect net.kx
    kx inspect net.onnx --graph --ops
    kx inspect model.safetensors
    """
    from pathlib import Path

    from kxchange.errors import NoArchitectureError
    from kxchange.format.model_file import identify, is_kx

    try:
        model = read_source(source, dynamic, inputs)
    except NoArchitectureError:
        tensors = bare_tensors(Path(source))
        show(as_json, quiet, tensors, lambda: print_tensors(tensors))
        return
    data = summary(model)
    if is_kx(Path(source)):
        data["model_id"] = identify(source, verify=verify)
        data["verified"] = verify
    if with_ops:
        data["ops"] = dict(Counter(node.op for f in model.functions.values() for node in f.graph.nodes()).most_common())
    if with_weights:
        data["weights"] = [parameter_row(entry) for entry in model.parameters.values()]
    if with_graph:
        data["graph"] = {name: node_lines(function.graph) for name, function in model.functions.items()}
    show(as_json, quiet, data, lambda: print_summary(data))


def bare_tensors(path: Path) -> dict[str, Any]:
    """What a file without an architecture holds."""
    from kxchange.weight_files import read_weights

    found = read_weights(path).values()
    rows = [{"name": entry.name, "type": str(entry.type)} for entry in found]
    return {"weights": rows, "bytes": sum(entry.nbytes for entry in found), "architecture": None}


def print_tensors(data: dict[str, Any]) -> None:
    """The tensors as text; names from the file are escaped."""
    from kxchange.cli.text import plain

    click.echo(f"{len(data['weights'])} tensors, {data['bytes']:,} bytes, no architecture")
    for row in data["weights"]:
        click.echo(f"  {plain(row['name'])}: {row['type']}")
    click.echo("To use them: kx convert package.module:attribute TARGET --weights PATH, or kx.load_weights in Python.")


def summary(model: Model) -> dict[str, Any]:
    """Functions, sizes, provenance and proof."""
    from kxchange.cli.layers import layers, size

    parameters = model.parameters.values()
    own = [entry for entry in parameters if entry.alias_of is None]
    roles = Counter(entry.role.value for entry in parameters)
    return {
        "functions": {
            name: {
                "inputs": {n: str(t) for n, t in f.input_types.items()},
                "outputs": {n: str(t) for n, t in f.output_types.items()},
                "nodes": len(f.graph.nodes()),
                "layers": [layer.to_json() for layer in layers(f.graph, model.parameters)],
            }
            for name, f in model.functions.items()
        },
        "parameters": dict(roles),
        "tied": sum(entry.alias_of is not None for entry in parameters),
        "bytes": sum(entry.nbytes for entry in own),
        "numbers": sum(map(size, own)),
        "trainable_numbers": sum(size(entry) for entry in own if entry.trainable),
        "dims": list(model.dims),
        "constraints": [str(constraint) for constraint in model.constraints],
        "provenance": {key: str(value) for key, value in model.provenance.items()},
        "evidence": [
            {str(row["backend"]): str(row["verdict"]) for row in record.get("rows", ())} for record in model.evidence
        ],
        "samples": len(model.samples),
    }


def print_layers(rows: list[dict[str, Any]]) -> None:
    """The table of layers; long texts are cut, names at the front and types at the end."""
    from kxchange.cli.layers import Layer
    from kxchange.cli.text import plain

    cells = [("layer", "computes", "output", "parameters")]
    for row in rows:
        what = Layer(row["name"], Counter(row["ops"])).what
        cells.append(
            (cut(plain(row["name"]), 34, True), cut(what, 32), cut(row["output"], 34), f"{row['parameters']:,}")
        )
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    click.echo()
    for line in cells:
        click.echo(
            "  " + "  ".join(f"{text:{width}}" for text, width in zip(line, widths, strict=False)) + f"  {line[3]:>11}"
        )
    click.echo()


def cut(text: str, width: int, front: bool = False) -> str:
    """The text in so many characters."""
    if len(text) <= width:
        return text
    return "..." + text[3 - width :] if front else text[: width - 3] + "..."


def parameter_row(entry: Any) -> dict[str, Any]:
    """One parameter without its values."""
    row = {"name": entry.name, "type": str(entry.type), "role": entry.role.value, "trainable": entry.trainable}
    return row | ({"alias_of": entry.alias_of} if entry.alias_of else {})


def node_lines(graph: Any) -> list[str]:
    """The nodes as numbered assignments."""
    from kxchange.printing import lines

    return lines(graph)


def print_summary(data: dict[str, Any]) -> None:
    """The summary as text; names from the file are escaped."""
    from kxchange.cli.text import plain

    for name, function in data["functions"].items():
        click.echo(f"function {plain(name)}: {function['nodes']} nodes")
        for side in ("inputs", "outputs"):
            for value, type in function[side].items():
                click.echo(f"  {side[:-1]:6} {plain(value)}: {plain(type)}")
        print_layers(function["layers"])
    roles = ", ".join(f"{count} {role}s" for role, count in data["parameters"].items()) or "none"
    counts = f"{data['numbers']:,} numbers, {data['trainable_numbers']:,} trainable"
    click.echo(f"parameters: {roles}; {data['tied']} tied; {counts}; {data['bytes']:,} bytes")
    for key in ("dims", "constraints"):
        if data[key]:
            click.echo(f"{key}: {', '.join(map(plain, data[key]))}")
    for key, value in data["provenance"].items():
        click.echo(f"{plain(key)}: {plain(value)}")
    for record in data["evidence"]:
        click.echo("proof: " + ", ".join(f"{plain(backend)} {plain(verdict)}" for backend, verdict in record.items()))
    if "model_id" in data:
        click.echo(f"model id: {data['model_id']}" + (" (every byte verified)" if data["verified"] else ""))
    for name, count in data.get("ops", {}).items():
        click.echo(f"  {count:6} {plain(name)}")
    for row in data.get("weights", ()):
        tie = f" = {plain(row['alias_of'])}" if "alias_of" in row else ""
        click.echo(f"  {row['role']:9} {plain(row['name'])}: {row['type']}{tie}")
    for name, nodes in data.get("graph", {}).items():
        click.echo(f"{plain(name)}:")
        for line in nodes:
            click.echo(f"  {plain(line)}")
