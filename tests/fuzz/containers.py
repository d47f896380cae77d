"""Random containers against the official safetensors reader: what it refuses, kxchange never accepts."""

from __future__ import annotations

import json
import random
import struct

from safetensors import SafetensorError, deserialize

from fuzz.mutation import NUMBERS, mutate_bytes
from kxchange.errors import FormatError
from kxchange.format.header import LENGTH_BYTES, parse_header

WIDTHS = {"BOOL": 1, "U8": 1, "F8_E4M3": 1, "I16": 2, "BF16": 2, "F32": 4, "C64": 8, "F64": 8, "U64": 8}
TOKENS = (
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b" ",
        b"\t",
        b"\n",
        b"\0",
        b"-",
        b"-0",
        b".0",
        b"1",
        b"0",
        b"e1",
        b"\\",
    ),
    *(b"true", b"null", b"NaN", b'"a"', b'"dtype"', b'"shape"', b'"data_offsets"', b'"__metadata__"', b"\\u0000"),
    *(
        b"[0,0]",
        b"[0,4]",
        b'"F4"',
        b'"F6_E2M3"',
        b'"I4"',
        b'"x":1,',
        b'"kx":"",',
        b"\xc0\x80",
        b"\xff",
        b"\xef\xbb\xbf",
    ),
)
NAMES = ("a", "b", "layer.0.weight", "\u00e9", "e\u0301", "__metadata__", "__kx__", "", "a\0", "\ud800")
KINDS = ("both", "neither", "stricter")
Tensors = dict[str, tuple[str, list[int], bytes]]


def container(rng: random.Random) -> bytes:
    """A file that is sound, or has a few faults in its header, its length or its size."""
    rows, position = list[str](), 0
    for _ in range(rng.randrange(5)):
        code = rng.choice(list(WIDTHS))
        shape = [
            rng.choice((0, 1, 2, 3, rng.choice(NUMBERS) if rng.random() < 0.1 else 4)) for _ in range(rng.randrange(4))
        ]
        size = WIDTHS[code]
        for dim in shape:
            size *= dim
        fields = [("dtype", code), ("shape", shape), ("data_offsets", [position, position + size])]
        rng.shuffle(fields)
        body = ",".join(f"{json.dumps(key)}:{json.dumps(item)}" for key, item in fields)
        name = rng.choice(NAMES) if rng.random() < 0.2 else f"t{rng.randrange(40)}"
        rows.append(f"{json.dumps(name, ensure_ascii=rng.random() < 0.5)}:{{{body}}}")
        position += size
    if rng.random() < 0.5:
        metadata = {rng.choice(("kx", "format", "", "x")): rng.choice(("pt", "{}", "\u00e9")) for _ in range(2)}
        rows.insert(rng.randrange(len(rows) + 1), f'"__metadata__":{json.dumps(metadata)}')
    text = ("{" + ",".join(rows) + "}" + " " * rng.randrange(9)).encode("utf-8", "surrogatepass")
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(TOKENS) + text[place + rng.randrange(4) :]
    if rng.random() < 0.1:
        text = mutate_bytes(text, rng)
    length = max(len(text) + (rng.choice((1, -1, 2**32, 2**63)) if rng.random() < 0.03 else 0), 0)
    size = min(max(position + (rng.choice((1, -1)) if rng.random() < 0.05 else 0), 0), 4096)
    return struct.pack("<Q", length) + text + b"\1" * size


def ours(file: bytes, *, strict: bool) -> Tensors | None:
    length = int.from_bytes(file[:LENGTH_BYTES], "little")
    try:
        header = parse_header(file[: LENGTH_BYTES + min(length, len(file))], len(file), strict=strict)
    except FormatError:
        return None
    data = file[header.data_offset :]
    return {name: (e.dtype, list(e.shape), data[e.begin : e.end]) for name, e in header.entries.items()}


def theirs(file: bytes) -> Tensors | None:
    try:
        tensors = deserialize(file)
    except SafetensorError:
        return None
    return {name: (info["dtype"], list(info["shape"]), bytes(info["data"])) for name, info in tensors}


def compare(file: bytes) -> str:
    """Which reader accepts: `both`, `neither`, or only theirs (`stricter`).

    Raises:
        AssertionError: Ours accepts what theirs refuses, or reads something else.
    """
    loose, reference = ours(file, strict=False), theirs(file)
    strict = ours(file, strict=True)
    assert loose is None or loose == reference, "accepted what safetensors refuses, or read differently"
    assert strict is None or strict == loose, "the strict reader accepts more"
    return "both" if loose is not None else "neither" if reference is None else "stricter"
