"""What the server says about itself: lines for people, or one JSON object per line."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import Any, TextIO

import orjson

from kxchange.serving.errors import ServingError


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
        with self._lock:
            print(line, file=self._stream, flush=True)

    def refused(self, method: str, path: str, error: ServingError) -> None:
        """A request that got an error."""
        if self._requests:
            self.event("refused", "warn", method=method, path=path[:200], status=error.status, error=str(error)[:500])
        if error.__cause__ is not None and error.status == 500:
            self.event("failed", "error", error=str(error.__cause__)[:1000])

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
