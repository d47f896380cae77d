"""Reading a header beside `safetensors.safe_open`: `python benchmarks/header.py [--repeat 200]`.

Both open the same file in the same process, by turns; the figure is the shortest time of the processor of many. Two
questions: open and list the names; open and tell the element type, shape and place of every tensor, which safe_open
answers tensor by tensor.
"""

from __future__ import annotations

import argparse
import gc
import json
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import safe_open

from kxchange.format.reader import TensorFile

COUNTS = (100, 1_000, 10_000)
PARTS = (("attn.q.weight", [64, 64]), ("attn.q.bias", [64]), ("mlp.up.weight", [256, 64]), ("norm.scale", [64]))


def header(count: int, *, strict: bool) -> tuple[bytes, int]:
    """A header as a `.kx` has it, or as the safetensors library writes it, and the size of the data."""
    names = sorted(f"model.layers.{i // len(PARTS)}.{PARTS[i % len(PARTS)][0]}" for i in range(count))
    shapes = {name: next(shape for part, shape in PARTS if name.endswith(part)) for name in names}
    table: dict[str, Any] = {"__metadata__": {"kx": "{}"} if strict else {"format": "pt"}}
    position = 0
    for name in names:
        size = 4
        for dim in shapes[name]:
            size *= dim
        place = {"data_offsets": [position, position + size]}
        kind = {"dtype": "F32", "shape": shapes[name]}
        table[name] = place | kind if strict else kind | place
        position += size
    text = json.dumps(table, separators=(",", ":"), sort_keys=strict).encode()
    text += b" " * (-(8 + len(text)) % (4096 if strict else 8))
    return struct.pack("<Q", len(text)) + text, position


def theirs_names(path: Path) -> int:
    with safe_open(path, "np") as file:
        return len(file.keys())


def theirs_facts(path: Path) -> int:
    with safe_open(path, "np") as file:
        pieces = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118 - it is no mapping
        return len([(piece.get_dtype(), piece.get_shape()) for piece in pieces])


def ours_names(path: Path, strict: bool) -> int:
    with TensorFile.open(path, strict=strict) as file:
        return len(file.names)


def ours_facts(path: Path, strict: bool) -> int:
    with TensorFile.open(path, strict=strict) as file:
        return len([(entry.dtype, entry.shape) for entry in map(file.entry, file.names)])


def fastest(calls: dict[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """Microseconds of the processor of the quickest call, the calls by turns."""
    best = dict.fromkeys(calls, float("inf"))
    gc.disable()
    for _ in range(repeat):
        for name, call in calls.items():
            began = time.process_time_ns()
            call()
            best[name] = min(best[name], (time.process_time_ns() - began) / 1000)
        gc.collect(0)
    gc.enable()
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=200)
    options = parser.parse_args()
    print(f"{'':24}{'names, µs':>22}{'ratio':>7}{'facts, µs':>22}{'ratio':>7}")
    for strict in (True, False):
        for count in COUNTS:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "net.safetensors"
                head, size = header(count, strict=strict)
                with path.open("wb") as stream:
                    stream.write(head)
                    stream.truncate(len(head) + size)
                calls: dict[str, Callable[[], Any]] = {
                    "names": lambda path=path, strict=strict: ours_names(path, strict),
                    "their names": lambda path=path: theirs_names(path),
                    "facts": lambda path=path, strict=strict: ours_facts(path, strict),
                    "their facts": lambda path=path: theirs_facts(path),
                }
                best = fastest(calls, max(options.repeat * 100 // count, 20))
            row = f"{'kx, strict' if strict else 'as safetensors writes'} {count:,}".ljust(24)
            for name in ("names", "facts"):
                row += f"{best[name]:>10,.0f} / {best[f'their {name}']:>9,.0f}{best[name] / best[f'their {name}']:7.2f}"
            print(row)


if __name__ == "__main__":
    main()
