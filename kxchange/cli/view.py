"""`kx view`."""

from __future__ import annotations

import contextlib
import io
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click

from kxchange.cli.options import capture_options, output_options, read_source, show


@click.command("view")
@click.argument("source")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the page; 0, the default, takes a free one.")
@click.option("--no-browser", is_flag=True, help="Serve the page, and open no browser.")
@capture_options
@output_options
def command(
    source: str,
    port: int,
    no_browser: bool,
    dynamic: tuple[str, ...],
    inputs: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Open SOURCE in Netron, as the ONNX model that it becomes. Ctrl-C ends it.

    \b
    kx view net.kx
    kx view net.keras --no-browser --port 8081
    """
    from kxchange import hub
    from kxchange.errors import MissingBackendError

    if find_spec("netron") is None:
        raise MissingBackendError('kx view needs netron, which is not installed. Run: pip install "kxchange[view]".')
    model = read_source(source, dynamic, inputs)
    with tempfile.TemporaryDirectory(prefix="kx-view-") as folder:
        path = Path(folder) / "model.onnx"
        hub.save(model, path)
        address = serve_page(path, port, browse=not no_browser)
        show(as_json, quiet, {"address": address}, f"{source} is shown at {address}; Ctrl-C ends it")
        wait()


def serve_page(path: Path, port: int, *, browse: bool) -> str:
    """Start Netron's page on this machine only; its address.

    Raises:
        InputError: The port is taken.
    """
    from kxchange.errors import InputError

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it speaks for itself, also under --json
            host, found = import_module("netron").start(str(path), address=("127.0.0.1", port), browse=browse)
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"cannot show the model on port {port}: {why}. Take another --port.") from error
    return f"http://{host}:{found}"


def wait() -> None:
    """Until Ctrl-C."""
    netron = import_module("netron")
    with contextlib.suppress(KeyboardInterrupt):
        netron.wait()
    netron.stop()
