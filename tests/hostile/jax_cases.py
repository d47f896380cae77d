"""Cases 98 to 100: artifacts of `jax.export`. jaxlib's parser, written in C++, ends or hangs on some damaged ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hostile.hostile_table import SAFE, Group

PROGRAM = b"ML\xefR"
"""First bytes of the program in an artifact."""
DAMAGED = 12


@cache
def exported(*, calling: bool = False) -> bytes:
    """A sound artifact; `calling`, one that calls a program of the host by name."""
    import jax
    from jax import export

    def network(x: Any) -> Any:
        y = jax.nn.softmax(x @ np.ones((3, 3), np.float32))
        if calling:
            shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
            y = jax.ffi.ffi_call("kx_trap", shape)(y)
        return y

    unsafe = [export.DisabledSafetyCheck.custom_call("kx_trap")]
    specs = jax.ShapeDtypeStruct((4, 3), np.float32)
    return bytes(export.export(jax.jit(network), platforms=["cpu"], disabled_checks=unsafe)(specs).serialize())


def changed(change: Callable[[bytearray], Any], **options: bool) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        data = bytearray(exported(**options))
        change(data)
        (folder / "net.bin").write_bytes(data)
        return folder / "net.bin"

    return make


def honest(folder: Path) -> Path:
    """The sound one."""
    return changed(lambda data: None)(folder)


def damaged(number: int) -> Callable[[Path], Path]:
    """Sixteen bytes of the program are others."""

    def change(data: bytearray) -> None:
        rng, start = random.Random(number), data.index(PROGRAM) + 32
        for _ in range(16):
            data[rng.randrange(start, len(data))] = rng.randrange(256)

    return changed(change)


def cases() -> Group:
    group = Group("jax", honest, ("jax",))
    for number in range(DAMAGED):
        group.add(98, f"damaged program {number}", damaged(number), verdict=SAFE)
    group.add(99, "call of a host's program", changed(lambda data: None, calling=True), "kx_trap|custom")
    group.add(100, "cut in the program", changed(lambda data: data.__delitem__(slice(-len(data) // 2, None))))
    group.add(100, "first offset of 2^32 - 1", changed(lambda data: data.__setitem__(slice(0, 4), b"\xff" * 4)))
    group.add(100, "tables without end", changed(lambda data: data.__setitem__(slice(4, 64), b"\x04\0\0\0" * 15)))
    return group
