"""The REST side as a bare ASGI application: addresses, authorization, errors."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from kxchange import __version__
from kxchange.errors import KxchangeError
from kxchange.serving.bodies import NOTHING, ClientGoneError, Receive, chosen_encoding, compress, discard, read_body
from kxchange.serving.errors import (
    BadRequestError,
    ForbiddenError,
    MethodError,
    NotFoundError,
    NotReadyError,
    ServingError,
    TooLargeError,
    UnauthorizedError,
)
from kxchange.serving.limits import Limits
from kxchange.serving.logs import Log
from kxchange.serving.metrics import exposition
from kxchange.serving.repository import Repository, checked_version
from kxchange.serving.rest_codec import BINARY_TYPE, HEADER_LENGTH, JSON_TYPE, decode, encode

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
EXTENSIONS = ("binary_tensor_data", "statistics", "model_repository")
POLICY = b"default-src 'self' 'unsafe-inline'; img-src 'self' blob:; frame-ancestors 'none'"
"""The page loads nothing from elsewhere and is shown in no other."""
UNDERSTOOD = ("unload_dependents",)
"""Parameters of loading and unloading that change nothing here: no model depends on another."""
LARGE = 64 * 1024
"""Bytes from which an output is sent as a piece of its own instead of being copied behind the JSON."""


@dataclass(slots=True)
class State:
    """What all requests share.

    Attributes:
        repository: The models.
        limits: Of requests.
        log: Where events go.
        token: Bearer token that every request must carry, but for the health addresses.
        model_control: Whether clients may load and unload.
        draining: Whether the server is on its way out.
        requests: HTTP requests begun.
        answered: Those whose answer was handed to the system in full.
    """

    repository: Repository
    limits: Limits
    log: Log
    token: str = ""
    model_control: bool = False
    draining: bool = False
    requests: int = 0
    answered: int = 0
    started: float = field(default_factory=time.time)

    @property
    def ready(self) -> bool:
        """Whether to send requests here."""
        return not self.draining and self.repository.ready

    def server_metadata(self) -> dict[str, Any]:
        """As in the protocol."""
        return {"name": "kxchange", "version": __version__, "extensions": list(EXTENSIONS)}


@dataclass(slots=True)
class Response:
    """An answer, to be sent."""

    status: int = 200
    pieces: list[Any] = field(default_factory=list[Any])
    type: bytes = JSON_TYPE
    header_length: int | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])

    @classmethod
    def json(cls, data: Any, status: int = 200) -> Response:
        """A JSON document."""
        return cls(status, [orjson.dumps(data)])


@dataclass(slots=True)
class Call:
    """A request on its way."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    receive: Receive
    start: int
    state: Mapping[str, Any]


class App:
    """The ASGI application."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One request, or the server's own events."""
        if scope["type"] != "http":
            return await self._other(scope, receive, send)
        self.state.requests += 1
        state = scope.get("state", NOTHING)
        call = Call(scope["method"], scope["path"], dict(scope["headers"]), receive, time.perf_counter_ns(), state)
        try:
            response = await self._answer(call)
        except ClientGoneError:
            return None
        except ServingError as error:
            response = refusal(error)
            self.state.log.refused(call.method, call.path, error)
            if error.status == TooLargeError.status:
                await discard(call.headers, receive, self.state.limits)
        except Exception as error:  # the boundary: nothing of ours may reach the client
            self.state.log.broken(call.method, call.path, error)
            response = Response.json({"error": "internal error. The server's log says why."}, 500)
        await self._send(call, response, send)
        self.state.answered += 1
        return None

    async def _other(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, call: Call) -> Response:
        parts = call.path.split("/")
        if parts[:3] == ["", "v2", "models"] and parts[-1] == "infer":
            self._authorize(call)
            return await self._infer(call, *self._address(parts[3:-1]))
        if parts[:3] == ["", "v2", "health"] and len(parts) == 4:
            return self._health(call, parts[3])
        self._authorize(call)
        if parts[:2] == ["", "v2"]:
            return await self._v2(call, parts[2:])
        if call.path == "/metrics":
            self._method(call, "GET")
            return Response(pieces=[exposition(self.state)], type=b"text/plain; version=0.0.4; charset=utf-8")
        return await self._page(call)

    async def _v2(self, call: Call, parts: list[str]) -> Response:
        if parts in ([], [""]):
            self._method(call, "GET")
            return Response.json(self.state.server_metadata())
        if parts[0] == "repository":
            return await self._repository(call, parts[1:])
        if parts == ["models", "stats"]:
            return self._statistics(call, "", "")
        if parts[0] == "models" and parts[-1] in ("ready", "stats", "config"):
            name, version = self._address(parts[1:-1])
            if parts[-1] == "stats":
                return self._statistics(call, name, version)
            self._method(call, "GET")
            if parts[-1] == "config":
                from kxchange.serving.triton_config import config_json

                return Response(pieces=[config_json(self.state.repository.served(name, version))])
            served = self.state.repository.find(name, version).served
            return Response.json({"name": name, "ready": served is not None}, 200 if served else 503)
        if parts[0] == "models":
            name, version = self._address(parts[1:])
            self._method(call, "GET")
            versions = [version] if version else list(self.state.repository.versions(name))
            return Response.json(self.state.repository.served(name, version).metadata(versions))
        raise NotFoundError("there is no such address.")

    def _address(self, parts: list[str]) -> tuple[str, str]:
        """Name and version of `NAME` or `NAME/versions/VERSION`."""
        if len(parts) == 1:
            return parts[0], ""
        if len(parts) == 3 and parts[1] == "versions" and parts[2]:
            return parts[0], checked_version(parts[2])
        raise NotFoundError("there is no such address.")

    async def _infer(self, call: Call, name: str, version: str) -> Response:
        self._method(call, "POST")
        served = self.state.repository.served(name, version)
        try:
            served.admit()
            body = await read_body(call.headers, call.receive, self.state.limits, call.state)
            header_length = stated_length(call.headers.get(HEADER_LENGTH), len(body))
            envelope = decode(body, header_length, served, self.state.limits, call.start)
            results = await served.infer(envelope.request)
            pieces, length = encode(served, envelope, results)
        except ServingError as error:
            served.statistics.failed(call.start, error.reason)
            raise
        rows = next(iter(envelope.request.inputs.values())).shape[:1] if envelope.request.inputs else ()
        served.statistics.succeeded(envelope.request.timing, rows[0] if rows else 1)
        return Response(200, pieces, JSON_TYPE if length is None else BINARY_TYPE, length)

    def _health(self, call: Call, what: str) -> Response:
        self._method(call, "GET")
        if what == "live":
            return Response.json({"live": True})
        if what == "ready":
            return Response.json({"ready": self.state.ready}, 200 if self.state.ready else 503)
        raise NotFoundError("there is no such address.")

    def _statistics(self, call: Call, name: str, version: str) -> Response:
        self._method(call, "GET")
        return Response.json({"model_stats": statistics(self.state.repository, name, version)})

    async def _repository(self, call: Call, parts: list[str]) -> Response:
        if parts == ["index"]:
            self._method(call, "POST")
            ready_only = (await self._json(call)).get("ready") is True
            return Response.json(self.state.repository.index(ready_only=ready_only))
        if len(parts) == 3 and parts[0] == "models" and parts[2] in ("load", "unload"):
            self._method(call, "POST")
            given = (await self._json(call)).get("parameters", {})
            await control(self.state, parts[1], parts[2], cast("list[str]", list(given)))
            return Response.json({})
        raise NotFoundError("there is no such address.")

    async def _json(self, call: Call) -> dict[str, Any]:
        """The JSON object of a request that may have none."""
        body = await read_body(call.headers, call.receive, self.state.limits, call.state)
        try:
            given: object = orjson.loads(body) if len(body) else cast("object", {})
        except orjson.JSONDecodeError:
            raise BadRequestError("the request is not JSON.") from None
        if not isinstance(given, dict):
            raise BadRequestError("the request is not a JSON object.")
        return cast("dict[str, Any]", given)

    async def _page(self, call: Call) -> Response:
        if call.path != "/" and not call.path.startswith("/ui/"):
            raise NotFoundError("there is no such address.")
        self._method(call, "GET")
        from kxchange.serving.page import render

        type, body = render(self.state, call.path)
        return Response(pieces=[body], type=type, headers=[(b"content-security-policy", POLICY)])

    def _method(self, call: Call, allowed: str) -> None:
        if call.method != allowed:
            raise MethodError(f"this address takes {allowed}.")

    def _authorize(self, call: Call) -> None:
        if not self.state.token:
            return
        given = call.headers.get(b"authorization", b"")
        if not hmac.compare_digest(given, b"Bearer " + self.state.token.encode()):
            raise UnauthorizedError("this server wants its bearer token in the authorization header.")

    async def _send(self, call: Call, response: Response, send: Send) -> None:
        headers = [(b"content-type", response.type), *response.headers]
        pieces = response.pieces
        size = sum(map(len, pieces))
        if response.header_length is not None:
            headers.append((HEADER_LENGTH, b"%d" % response.header_length))
        accepted = call.headers.get(b"accept-encoding", b"")
        if accepted and (encoding := chosen_encoding(accepted, size, response.header_length is not None)):
            pieces = [compress(pieces, encoding)]
            size = len(pieces[0])
            headers.append((b"content-encoding", encoding))
        if self.state.draining or response.status == 408:
            headers.append((b"connection", b"close"))
        if identity := call.headers.get(b"x-request-id"):
            headers.append((b"x-request-id", identity[:128]))
        headers.append((b"content-length", b"%d" % size))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if size < LARGE:
            await send({"type": "http.response.body", "body": b"".join(pieces)})
            return
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def refusal(error: ServingError) -> Response:
    """The protocol's error body."""
    response = Response.json({"error": str(error)}, error.status)
    if error.retry_after is not None:
        response.headers.append((b"retry-after", b"%d" % error.retry_after))
    if error.status == 401:
        response.headers.append((b"www-authenticate", b"Bearer"))
    return response


def stated_length(given: bytes | None, size: int) -> int | None:
    """The length of the JSON in front of binary tensors.

    Raises:
        BadRequestError: It is not a number, or more than there is.
    """
    if given is None:
        return None
    if not given.isdigit() or len(given) > 18 or int(given) > size:
        raise BadRequestError("Inference-Header-Content-Length is not a number of bytes within the body.")
    return int(given)


def statistics(repository: Repository, name: str, version: str) -> list[dict[str, Any]]:
    """Statistics of one version, of all of a model, or of all models."""
    if name and version:
        entries = [repository.find(name, version)]
    else:
        entries = list(repository.versions(name).values()) if name else repository.all()
    return [e.served.statistics.to_json(e.name, e.version) for e in entries if e.served is not None]


async def control(state: State, name: str, action: str, parameters: Iterable[str] = ()) -> None:
    """Load or unload a model for a client.

    Raises:
        ForbiddenError: The server was not started so.
        BadRequestError: The client wants it loaded otherwise than it was configured.
        NotReadyError: The model cannot be loaded.
    """
    if not state.model_control:
        raise ForbiddenError("this server does not load or unload models for clients. Start it with --model-control.")
    if refused := [parameter for parameter in parameters if parameter not in UNDERSTOOD]:
        raise BadRequestError(
            f"the parameter {refused[0][:100]!r} is not served: models are loaded as configured here."
        )
    entries = list(state.repository.versions(name).values())
    if action == "unload":
        state.repository.unload(name)
        return
    for entry in entries:
        try:
            await asyncio.get_running_loop().run_in_executor(None, state.repository.load, entry)
        except KxchangeError as error:
            state.log.failed_load(entry.name, entry.version, error)
            raise NotReadyError(f"model {name!r} cannot be loaded. The server's log says why.") from error
