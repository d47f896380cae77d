"""The running server: listen, load, prove, answer, drain."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import uvicorn

from kxchange.errors import InputError, KxchangeError
from kxchange.serving.app import App, State
from kxchange.serving.protocol import limited_protocol


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None


class Server(uvicorn.Server):
    """uvicorn, with readiness that goes first and an exit code of 0 at the end."""

    def __init__(self, state: State, address: Address) -> None:
        limits = state.limits
        config = uvicorn.Config(
            App(state),  # pyright: ignore[reportArgumentType]
            host=address.host,
            port=address.port,
            http=limited_protocol(limits),
            ws="none",
            loop="uvloop",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="critical",
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=limits.keep_alive,
            timeout_graceful_shutdown=int(limits.drain),
        )
        super().__init__(config)
        self.state = state
        self.address = address
        self._signals = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Our own handling in the place of uvicorn's, which ends by the signal it caught."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        yield

    def stop(self) -> None:
        """Drain; at the second call end at once."""
        self._signals += 1
        self.state.draining = True
        self.state.log.event("draining" if self._signals == 1 else "ending at once")
        if self._signals > 1:
            self.force_exit = self.should_exit = True
            return
        asyncio.get_running_loop().call_later(self.state.limits.grace, self._exit)

    def _exit(self) -> None:
        self.should_exit = True

    @property
    def port(self) -> int:
        """The port that is listened on, which is of interest where 0 was asked for."""
        return int(self.servers[0].sockets[0].getsockname()[1])


async def serve(state: State, address: Address) -> KxchangeError | None:
    """Serve until a signal comes.

    Returns:
        What kept a model from being ready, in which case the server ended at once.
    """
    server = Server(state, address)
    listener = listening(address)
    work = asyncio.create_task(server.serve([listener]))
    grpc: Any = None
    try:
        while not server.started and not work.done():
            await asyncio.sleep(0.005)
        if not server.started:
            await work
            return None
        state.log.event("listening", http=f"http://{address.host}:{server.port}")
        grpc = await start_grpc(state, address)
        failure = await load_all(state)
        if failure is not None and not state.model_control:
            return failure
        if not state.model_control:
            # What is loaded now stays: looking through it again for garbage would only cost requests their time.
            gc.collect()
            gc.freeze()
        if state.ready:
            state.log.event("ready", models=len(state.repository.all()))
        await work
    finally:
        server.force_exit = server.force_exit or not state.draining
        server.should_exit = True
        if grpc is not None:
            await grpc.stop(0 if server.force_exit else state.limits.drain)
        await asyncio.gather(work, return_exceptions=True)
        state.log.event("ended", requests=state.requests, answered=state.answered)
    return None


def listening(address: Address) -> socket.socket:
    """A socket that is bound.

    Raises:
        InputError: The address is taken, or not ours.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((address.host, address.port))
    except (OSError, OverflowError) as error:
        found.close()
        raise InputError(f"cannot listen on {address.host}:{address.port}: {error}. Choose another --port.") from error
    return found


async def start_grpc(state: State, address: Address) -> Any:
    """The gRPC side, if wanted."""
    if address.grpc_port is None:
        return None
    from kxchange.serving.grpc_side import start

    try:
        server, port = await start(state, address.host, address.grpc_port)
    except RuntimeError as error:
        raise InputError(f"gRPC cannot listen on {address.host}:{address.grpc_port}. Choose another port.") from error
    state.log.event("listening", grpc=f"{address.host}:{port}")
    return server


async def load_all(state: State) -> KxchangeError | None:
    """Load every model, one after the other; the first failure, after all were tried."""
    first: KxchangeError | None = None
    for entry in state.repository.all():
        begin = time.perf_counter()
        try:
            await asyncio.get_running_loop().run_in_executor(None, state.repository.load, entry)
        except KxchangeError as error:
            state.log.failed_load(entry.name, entry.version, error)
            first = first or error
            continue
        served = entry.served
        if served is not None:
            proof = served.proof.verdict.value if served.proof else "not asked for"
            took = f"{time.perf_counter() - begin:.2f}s"
            state.log.event(
                "loaded", model=entry.name, version=entry.version, self_test=proof, batching=served.batching, took=took
            )
    return first
