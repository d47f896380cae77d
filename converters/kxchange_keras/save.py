"""Models as `.keras` files, which Keras opens on any of its backends without kxchange."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from kxchange.errors import WriteError
from kxchange.format.atomic import atomic_writer
from kxchange.model import Model
from kxchange_keras.build import build_parts
from kxchange_keras.wide import sixty_four_bits

SUFFIX = ".keras"


def save(model: Model, path: Path, *, function: str | None = None) -> list[Path]:
    """Write a `.keras` file: a Functional model of native layers, with nothing in it that is code.

    Args:
        model: What to write.
        path: The file; its suffix is ``.keras``.
        function: Which entry point; by default the main one. A Keras model has one.

    Returns:
        The file written.

    Raises:
        UnsupportedOpError: Keras lacks ops of the model; all of them are listed.
        WriteError: The file cannot be written.
    """
    path = Path(os.path.abspath(path))
    if path.suffix != SUFFIX:
        raise WriteError(f"Keras files are called *.keras: {path.name} is not. Name it {path.stem}.keras.")
    if not path.parent.is_dir():
        raise WriteError(f"Cannot write {path.name}: the folder {path.parent.name!r} does not exist.")
    if path.is_dir():
        raise WriteError(f"Cannot write {path.name}: a folder stands there.")
    built = build_parts(model, function=function)
    fresh = path.with_name(f".kx-{secrets.token_hex(8)}.keras")
    try:
        with sixty_four_bits():
            built.net.save(fresh)
        with atomic_writer(path) as target, fresh.open("rb") as written:
            while block := written.read(1 << 24):
                target.write(block)
    except OSError as error:
        raise WriteError(f"Cannot write {path.name}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            fresh.unlink()
    return [path]
