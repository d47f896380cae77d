"""What the server says about itself: lines for people, or one JSON object per line."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import traceback
from typing import Any, TextIO

import orjson

from kxchange.serving.errors import ServingError

REFUSALS_SAID = 20
"""Refused requests that get a line of their own in one second: a flood of them may not become a flood of lines."""


class Log:
    """Writes events.

    Args:
        as_json: One object per line.
        quiet: Errors only.
        requests: Refused requests too.
        stream: Where to; standard error by default.
    """

    def __init__(
        self, *, as_json: bool = False, quiet: bool = False, requests: bool = True, stream: TextIO | None = None
    ) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._requests = requests
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._since, self._said, self._unsaid = 0.0, 0, 0

    def event(self, message: str, level: str = "info", **fields: Any) -> None:
        """One event with its facts."""
        if self._quiet and level != "error":
            return
        if self._as_json:
            record = {"time": time.time(), "level": level, "event": message, **fields}
            line = orjson.dumps(record, default=str).decode()
        else:
            facts = "".join(f" {name}={clean(value)}" for name, value in fields.items())
            line = f"{time.strftime('%H:%M:%S')} {level:5} {message}{facts}"
        # Whoever read the log may be gone: requests are answered, and signals heeded, all the same.
        with self._lock, contextlib.suppress(OSError):
            print(line, file=self._stream, flush=True)

    def refused(self, method: str, path: str, error: ServingError) -> None:
        """A request that got an error. Under overload only so many are said; the others are counted."""
        if self._requests and (unsaid := self._turn()) is not None:
            facts = {"unsaid": unsaid} if unsaid else {}
            text = str(error)[:500]
            self.event("refused", "warn", method=method, path=path[:200], status=error.status, error=text, **facts)
        if error.__cause__ is not None and error.status == 500:
            self.event("failed", "error", error=str(error.__cause__)[:1000])

    def _turn(self) -> int | None:
        """How many refusals were not said since the last that was; None where this one is not to be said either."""
        now = time.monotonic()
        if now - self._since >= 1:
            self._since, self._said = now, 0
        if self._said >= REFUSALS_SAID:
            self._unsaid += 1
            return None
        self._said += 1
        unsaid, self._unsaid = self._unsaid, 0
        return unsaid

    def broken(self, method: str, path: str, error: Exception) -> None:
        """A fault of ours, with its traceback."""
        trace = "".join(traceback.format_exception(error))
        self.event("broken", "error", method=method, path=path[:200], trace=trace)

    def failed_load(self, name: str, version: str, error: Exception) -> None:
        """A model that is not served."""
        self.event("cannot serve", "error", model=name, version=version, error=str(error))


def clean(value: Any) -> str:
    """A fact on one line of a terminal, whatever it holds."""
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
