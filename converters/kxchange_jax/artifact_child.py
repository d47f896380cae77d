"""Run as a program by `kxchange_jax.artifact_parser`: portable StableHLO in, its text out. Imports jaxlib alone.

Standard input: for each artifact its length in eight bytes (least significant first), then its bytes. Standard output:
the length and the bytes of the module's text, or of a message, with the highest bit of the length set.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, BinaryIO

FAILED = 1 << 63
SECONDS, SECONDS_PER_MEGABYTE = 10, 2
"""Of the processor, for one artifact; a sound one takes a hundredth. Some damaged ones take for ever."""


def module_text(data: bytes) -> str:
    """The module of a portable artifact as MLIR text, with its locations."""
    from jaxlib import _jax  # pyright: ignore[reportAttributeAccessIssue]
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import chlo, mhlo, sdy, stablehlo

    bindings: Any = ir
    with bindings.Context() as context:
        for dialect in (chlo, sdy, stablehlo):
            dialect.register_dialect(context)
        mhlo.register_mhlo_dialect(context)
        module = _jax.mlir.deserialize_portable_artifact(data)
        output = io.StringIO()
        module.operation.print(file=output, enable_debug_info=True)
        return output.getvalue()


def limit(size: int) -> None:
    """Time for one artifact of so many bytes more; none for a core file of foreign data."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + SECONDS + SECONDS_PER_MEGABYTE * (size >> 20)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer until the input ends."""
    while len(head := source.read(8)) == 8:
        data = source.read(int.from_bytes(head, "little"))
        limit(len(data))
        try:
            mark, answer = 0, module_text(data).encode()
        except Exception as error:
            mark, answer = FAILED, f"{type(error).__name__}: {error}"[:2000].encode("utf-8", "replace")
        target.write((mark | len(answer)).to_bytes(8, "little") + answer)
        target.flush()


if __name__ == "__main__":
    # What jaxlib prints must not mix with the answers.
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, stream)
