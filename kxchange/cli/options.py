"""Options that several subcommands share, and the sources they take."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kxchange.errors import InputError

if TYPE_CHECKING:
    from kxchange.model import Model

F = TypeVar("F", bound=Callable[..., Any])


def output_options(command: F) -> F:
    """`--json` and `-q`, on every subcommand."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)
    return click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")(command)


def capture_options(command: F) -> F:
    """How to read a source that is a live object: `--dynamic` and `--input`."""
    command = click.option(
        "--dynamic", multiple=True, metavar="NAME=DIM,DIM", help="Symbolic dims of an input, e.g. x=batch,seq."
    )(command)
    return click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="NAME=DTYPE[DIMS]|NPZ",
        help="Example input, x=float32[2,3]; or samples.",
    )(command)


def read_source(source: str, dynamic: tuple[str, ...], inputs: tuple[str, ...]) -> Model:
    """The model of a file or of a live object.

    Args:
        source: A path, or `package.module:attribute` that is a module or a callable that returns one.
        dynamic: `NAME=dim,dim` strings.
        inputs: `NAME=dtype[dims]` strings, the example inputs of a live object.
    """
    from kxchange import hub

    if Path(source).exists() or ":" not in source:
        return hub.load(source)
    live = find_object(source)
    inputs = tuple(text for text in inputs if not is_samples(text))
    if not inputs:
        raise InputError(f"{source} is a live object: say what goes in, for example --input x=float32[2,3].")
    names = dict(split_pair(pair, "--input") for pair in inputs)
    axes = {name: parse_axes(text) for name, text in (split_pair(pair, "--dynamic") for pair in dynamic)}
    return hub.capture(live, dynamic=axes or None, **example_inputs(live, names))


def is_samples(text: str) -> bool:
    """Whether an `--input` is a file of samples, and no type."""
    return text.endswith(".npz") and "=" not in text


def split_pair(text: str, option: str) -> tuple[str, str]:
    """The two sides of `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise InputError(f"{option} takes NAME=VALUE, not {text!r}.")
    return name, value


def parse_axes(text: str) -> tuple[str | int | None, ...]:
    """`batch,3,_` as names, sizes and None."""
    parts = [part.strip() for part in text.split(",")]
    return tuple(None if part in ("", "_") else int(part) if part.isdigit() else part for part in parts)


def example_inputs(live: Any, names: dict[str, str]) -> dict[str, Any]:
    """Example tensors in the framework of the live object."""
    import numpy as np

    from kxchange.hub import capturer
    from kxchange.types import TensorType
    from kxchange.validation.cases import draw
    from kxchange.validation.roles import InputRole

    types = {name: TensorType.parse(text) for name, text in names.items()}
    rng = np.random.default_rng(0)
    arrays = {name: draw(InputRole(0, 2, "flag"), type, {}, 1.0, rng) for name, type in types.items()}
    owner = capturer(live, (), {})
    return {name: owner.tensor(array) for name, array in arrays.items()}


def find_object(source: str) -> Any:
    """Import `package.module:attribute`; call it if it is a plain callable without being a model itself."""
    module_name, _, attribute = source.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"cannot import {module_name!r} for {source!r}: {error}. Check the name, or pass a path."
        ) from error
    except Exception as error:
        raise InputError(f"importing {module_name!r} failed: {described(error)}.") from error
    try:
        live = getattr(module, attribute)
    except AttributeError:
        near = suggestion(attribute, [name for name in vars(module) if not name.startswith("_")])
        raise InputError(f"module {module_name!r} has no {attribute!r}.{near}") from None
    try:
        return live() if isinstance(live, type) or is_factory(live) else live
    except Exception as error:
        raise InputError(f"{source}() failed: {described(error)}.") from error


def described(error: Exception) -> str:
    """An error of the user's own code, with its last line."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}: {error}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or nothing."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def is_factory(live: Any) -> bool:
    """A plain function is called to get the model; a model that happens to be callable is not."""
    return type(live).__name__ in ("function", "builtin_function_or_method", "partial")


SCHEMA = 1
"""Version of what `--json` prints; fields may be added within one, none is renamed or taken away."""


def show(as_json: bool, quiet: bool, data: dict[str, Any] | str, text: str | Callable[[], Any]) -> None:
    """Print JSON (an object, or the text of one, that states its schema), nothing, or text."""
    if as_json:
        import json

        click.echo(data if isinstance(data, str) else json.dumps({"schema": SCHEMA, **data}))
    elif not quiet:
        click.echo(text) if isinstance(text, str) else text()
