"""From options to a running server: what needs the serving extra is imported here, and missed here with advice."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kxchange.errors import InputError, MissingBackendError
from kxchange.serving.limits import Limits

NEEDED = ("onnxruntime", "uvicorn", "httptools", "uvloop", "orjson", "prometheus_client")
NEEDED_FOR_GRPC = ("grpc", "google.protobuf")


def require(modules: Sequence[str]) -> None:
    """Raise where serving cannot run.

    Raises:
        MissingBackendError: A module is not installed.
    """
    missing = [name for name in modules if find_spec(name.partition(".")[0]) is None]
    if missing:
        raise MissingBackendError(
            f'serving needs {", ".join(missing)}, which is not installed. Run: pip install "kxchange[serve]".'
        )


def launch(
    sources: Sequence[str],
    limits: Limits,
    *,
    host: str,
    port: int,
    grpc_port: int | None,
    token_file: str | None,
    model_control: bool,
    log_json: bool,
    quiet: bool,
    **running: Any,
) -> None:
    """Serve until a signal comes.

    Raises:
        KxchangeError: A model cannot be served.
    """
    require(NEEDED if grpc_port is None else (*NEEDED, *NEEDED_FOR_GRPC))
    import uvloop

    from kxchange.serving.app import State
    from kxchange.serving.logs import Log
    from kxchange.serving.repository import find_models
    from kxchange.serving.served import Options
    from kxchange.serving.server import Address, serve

    repository = find_models(sources, Options(limits=limits, **running))
    state = State(
        repository,
        limits,
        Log(as_json=log_json, quiet=quiet),
        token=read_token(token_file),
        model_control=model_control,
    )
    failure = uvloop.run(serve(state, Address(host, port, grpc_port)))
    if failure is not None:
        raise failure


def read_token(path: str | None) -> str:
    """The token of a file; a command line is visible to everyone on the machine.

    Raises:
        InputError: It is empty or not text.
    """
    if path is None:
        return ""
    try:
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the token from {path}: {error}.") from error
    if not token:
        raise InputError(f"{path} is empty: it should hold the bearer token.")
    return token
