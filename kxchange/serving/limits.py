"""What one request may ask for. Each is checked before memory is taken for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a server.

    Attributes:
        body: Bytes of a request's body, after decompression too.
        json: Bytes of JSON where tensors are written as numbers: one number takes ten times its text in memory.
        header: Bytes of the JSON in front of binary tensors.
        http_headers: Bytes of the HTTP request line and headers together.
        tensors: Inputs, and outputs, that a request may name.
        rank: Axes of a tensor.
        name: Characters of a name or an id.
        queue: Requests of one model that may be waiting or running.
        deadline: Seconds in which an answer must be there, where the client does not say less.
        receive: Seconds in which headers and body must have arrived.
        grace: Seconds at the end in which ready is off and requests are still taken, so that their senders notice.
        drain: Seconds in which running requests may finish at the end.
        keep_alive: Seconds that an idle connection stays open.
    """

    body: int = 64 * 2**20
    json: int = 16 * 2**20
    header: int = 2**20
    http_headers: int = 32 * 2**10
    tensors: int = 64
    rank: int = 16
    name: int = 256
    queue: int = 256
    deadline: float = 60.0
    receive: float = 30.0
    grace: float = 0.5
    drain: float = 30.0
    keep_alive: int = 75
