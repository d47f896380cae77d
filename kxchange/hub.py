"""Load, capture, save, run, convert: every door into and out of the middle."""

from __future__ import annotations

import difflib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from kxchange.collector import rare_collection
from kxchange.converter import Converter, converter, converters
from kxchange.errors import (
    CaptureError,
    FormatError,
    InputError,
    KxchangeError,
    LimitError,
    NoArchitectureError,
    UnknownFormatError,
)
from kxchange.model import Array, Model

HEAD = 4096
"""Bytes read to recognise a file."""
FOLDER_TARGETS = {"tf": "tensorflow"}
"""Names accepted by `to` that are another form of a converter's output."""


def load(path: str | PathLike[str], **options: Any) -> Model:
    """Load any model file or folder; the format is recognised by content.

    Args:
        path: `.kx`, or a file of any installed converter's formats.
        options: Passed to the format's reader.

    Raises:
        UnknownFormatError: no installed converter knows the file.
    """
    path = Path(path)
    if not path.exists() and (index := path.with_name(path.name + ".index.json")).is_file():
        path = index  # a sharded model answers to the name it would have as one file
    if not path.exists():
        raise InputError(f"there is no file or folder {str(path)!r}. Check the path.")
    with _typed(path):
        reader = recognise(path)
        if reader is None:
            from kxchange.format.model_file import load_model

            with rare_collection():
                return load_model(path, **options)
        return reader.load(path, **options)


@contextmanager
def _typed(path: Path) -> Generator[None]:
    """A damaged file can fail in a reader's own code or in a library below it: that is a refusal, too."""
    try:
        yield
    except KxchangeError:
        raise
    except MemoryError as error:
        raise LimitError(f"{str(path)!r} cannot be read: there is not enough memory for what it asks for.") from error
    except OSError as error:
        raise FormatError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    except Exception as error:
        from kxchange.format.names import shown

        raise FormatError(
            f"{str(path)!r} cannot be read ({type(error).__name__}: {shown(str(error))}): it is damaged, or a case "
            "that kxchange does not know. If other programs open it, please report it."
        ) from error


def recognise(path: Path) -> Converter | None:
    """The converter that loads `path`, by content; None for kxchange's own format."""
    from kxchange.format.foreign import PREFIX_BYTES, foreign_kind
    from kxchange.format.model_file import is_kx

    if is_kx(path):
        return None
    head = path.open("rb").read(HEAD) if path.is_file() else b""
    for candidate in converters().values():
        if candidate.sniff and candidate.verb("sniff")(path, head):
            return candidate
    if path.suffix == ".kx":
        return None  # its own reader says best what is wrong with it
    _refuse_bare_tensors(path)
    known = sorted({suffix for c in converters().values() for suffix in c.suffixes} | {".kx"})
    kind = foreign_kind(head[:PREFIX_BYTES])
    raise UnknownFormatError(
        f"no installed converter recognises {str(path)!r} by its content{f': it is {kind}' if kind else ''} (formats "
        f"written here: {', '.join(known)}). kx backends lists the converters and what each one reads."
    )


def _refuse_bare_tensors(path: Path) -> None:
    """Say what to do with a file of weights.

    Raises:
        NoArchitectureError: `path` holds tensors and no architecture.
        FormatError: It is a file of tensors, but not a sound one.
    """
    from kxchange.weight_files import read_weights

    try:
        count = len(read_weights(path))
    except UnknownFormatError:
        return
    raise NoArchitectureError(
        f"{path.name} holds {count} tensors and no architecture. Capture or load the architecture first: "
        f"model = kx.capture(module, *example_inputs), then model, report = kx.load_weights(model, {path.name!r}); on "
        f"the command line kx convert package.module:attribute TARGET --weights {path.name}. kx inspect lists them."
    )


def capture(source: Any, *args: Any, dynamic: Any = None, **kwargs: Any) -> Model:
    """Lift any live object, dispatched on its type: an `nn.Module`, a `keras.Model`, a `ModelProto`, a function.

    Args:
        source: The object; for a plain function the example inputs decide the backend.
        args: Example inputs, positional.
        dynamic: Symbolic dims by input name, for example ``{"input_ids": ("batch", "seq")}``; the batch axis
            (axis 0) is symbolic by default.
        kwargs: Example inputs by name, and the backend's own options.

    Raises:
        CaptureError: no installed converter takes the object.
    """
    owner = capturer(source, args, kwargs)
    return owner.capture(source, *args, dynamic=dynamic, **kwargs)


def capturer(source: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Converter:
    """The converter whose `captures` names a class of `source`, or (for functions) of the example inputs."""
    for candidate in (source, *args, *kwargs.values()):
        names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(candidate).__mro__}
        for owner in converters().values():
            if names & set(owner.captures):
                return owner
        if candidate is source and not callable(source):
            break
    if callable(source) and "jax" in converters():
        return converters()["jax"]
    kind = f"{type(source).__module__}.{type(source).__qualname__}"
    raise CaptureError(
        f"no installed converter captures a {kind}. kx backends lists what each one takes; kx.load opens files."
    )


def save(model: Model, path: str | PathLike[str], *, to: str | None = None, **options: Any) -> list[Path]:
    """Write a model; the format comes from the suffix, or from `to` for folders and shared suffixes.

    Returns:
        The files written.
    """
    path = Path(path)
    if is_kx_target(path, to):
        from kxchange.format.model_file import save_model

        return save_model(model, path, **options)
    return saver(path, to).save(model, path, **options)


def is_kx_target(path: Path, to: str | None) -> bool:
    """Whether a target is a `.kx` file or the index of a sharded one."""
    return to == "kx" or (to is None and path.name.endswith((".kx", ".kx.index.json")))


def saver(path: Path, to: str | None) -> Converter:
    """The converter that writes `path`."""
    if to is not None:
        return converter(FOLDER_TARGETS.get(to, to))
    for candidate in converters().values():
        if path.suffix and path.suffix in candidate.suffixes:
            return candidate
    known = sorted({suffix for c in converters().values() for suffix in c.suffixes} | {".kx"})
    near = difflib.get_close_matches(path.suffix, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownFormatError(
        f"no installed converter writes {path.suffix or 'a folder'!r} ({str(path)!r}). "
        f"Use one of {', '.join(known)}, or say which backend with --to.{hint}"
    )


def run(
    model: Model, inputs: Mapping[str, Any], *, backend: str = "numpy", function: str | None = None, **options: Any
) -> dict[str, Array]:
    """Run one function of a model on any backend: dict of arrays in, dict of arrays out, in output order."""
    return converter(backend).prepare(model, function=function, **options)(inputs)
