"""Hashes of tensors, made in other threads while the tensors are written."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from kxchange.format.integrity import tensor_sha256

AHEAD_BYTES = 64 * 2**20
"""Bytes that may wait for their hash while the next tensor is read: what a save holds in memory beyond one tensor."""
SMALL_BYTES = 2**20
"""Below this, handing a tensor to another thread takes longer than it saves."""
THREADS = 2


class Hashing:
    """SHA-256 of one tensor after another. Use it in a `with` block."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS)
        self._found: dict[str, str] = {}
        self._pending: deque[tuple[str, int, Future[str]]] = deque()
        self._waiting = 0

    def __enter__(self) -> Hashing:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def make_room(self, size: int) -> None:
        """Wait until so many bytes more do not exceed what may wait; a larger tensor waits alone."""
        while self._pending and self._waiting + size > AHEAD_BYTES:
            self._finish_one()

    def add(self, name: str, data: np.ndarray) -> None:
        """Hash the stored bytes of a tensor, at once or meanwhile. They must not change until the results are there."""
        if data.nbytes < SMALL_BYTES:
            self._found[name] = tensor_sha256(data)
            return
        self._pending.append((name, data.nbytes, self._threads.submit(tensor_sha256, data)))
        self._waiting += data.nbytes

    def results(self) -> dict[str, str]:
        """Every hash by name, in no particular order; waits for those that are still made."""
        while self._pending:
            self._finish_one()
        return self._found

    def _finish_one(self) -> None:
        name, size, future = self._pending.popleft()
        self._found[name] = future.result()
        self._waiting -= size
