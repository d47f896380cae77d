"""Portable StableHLO to text, in a process of its own.

jaxlib reads an artifact in C++ that trusts it: about one damaged artifact of a thousand ends the process, or keeps it
for ever. Here that ends a child, which runs our own `artifact_child.py` on bytes that it is handed, and is a refusal.
What comes back is text that MLIR has printed of a module that it has verified.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kxchange.errors import FormatError
from kxchange_jax.artifact_child import FAILED

CHILD = Path(__file__).with_name("artifact_child.py")
KEPT = ("SYSTEMROOT", "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What the child sees of the environment."""


class ArtifactParser:
    """A child that parses artifacts, started at the first and again after one that ended it; close it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def text(self, data: bytes) -> str:
        """The program of an artifact.

        Raises:
            FormatError: jaxlib refuses it, or ends on it.
        """
        child = self._running()
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(len(data).to_bytes(8, "little") + data)
            child.stdin.flush()
            head = child.stdout.read(8)
        except BrokenPipeError:
            head = b""
        length = int.from_bytes(head, "little")
        answer = child.stdout.read(length & ~FAILED) if head else b""
        if not head or len(answer) < length & ~FAILED:
            self.close()
            raise FormatError(f"the artifact's program ends jaxlib, which reads it (code {child.returncode}).")
        if length & FAILED:
            raise FormatError(f"the artifact's program cannot be read ({answer.decode('utf-8', 'replace')[:200]}).")
        return answer.decode()

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            with contextlib.suppress(BrokenPipeError):
                self._child.communicate()
            self._child = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            paths = os.pathsep.join(path for path in sys.path if os.path.isabs(path))
            environment = {name: os.environ[name] for name in KEPT if name in os.environ} | {"PYTHONPATH": paths}
            pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
            command = [sys.executable, "-P", str(CHILD)]
            self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, env=environment)
        return self._child


_SHARED: list[ArtifactParser] = []


@contextmanager
def one_child() -> Iterator[None]:
    """Every artifact that is opened within is parsed by the same child: for who opens many."""
    _SHARED.append(ArtifactParser())
    try:
        yield
    finally:
        _SHARED.pop().close()


def program_text(data: bytes) -> str:
    """The program of an artifact as text, as `ArtifactParser.text`."""
    if _SHARED:
        return _SHARED[-1].text(data)
    parser = ArtifactParser()
    try:
        return parser.text(data)
    finally:
        parser.close()
