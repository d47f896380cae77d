"""The two ways through a header, on the same damaged headers: they accept the same, and say the same."""

from __future__ import annotations

import json
import random
from pathlib import Path
from unittest import mock

from fuzz.containers import TOKENS, ours
from fuzz.mutation import mutate_bytes
from kxchange.format import plain_header
from kxchange.format.layout import build_header, lay_out

Files = dict[str, bytes]
NAME = "net.safetensors"
CODES = {"F32": 4, "BF16": 2, "I64": 8, "U8": 1, "BOOL": 1}
PIECES = (
    b"],[",
    b"},{",
    b'":{"',
    b'"},"',
    b'","',
    b"0",
    b"00",
    b"1e1",
    b"+1",
    b"1_0",
    b"10000000000000000",
    b"\x7f",
    b'"__metadata__":{"format":"pt"},',
    b'"x":{},',
)


def usual(rng: random.Random, *, strict: bool) -> bytes:
    """A sound header in one of the two usual spellings, with its data."""
    names = rng.sample([f"layers.{i}.{part}" for i in range(6) for part in ("weight", "bias", "w")], rng.randrange(9))
    tensors = [(n, rng.choice(list(CODES)), tuple(rng.choices(range(9), k=rng.randrange(4)))) for n in names]
    entries = lay_out(tensors)
    size = entries[-1].end if entries else 0
    if strict:
        return build_header(entries, {"format": "pt", "kx": '{"a":"}\\"' + "b" * rng.randrange(9) + '"}'}) + bytes(size)
    rows = [json.dumps(e.name) + ":" + _spelled(e.dtype, e.shape, e.begin, e.end) for e in entries]
    if rng.random() < 0.7:
        rows.insert(rng.randrange(len(rows) + 1) if rng.random() < 0.3 else 0, '"__metadata__":{"format":"pt"}')
    text = ("{" + ",".join(rows) + "}").encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + bytes(size)


def _spelled(code: str, shape: tuple[int, ...], begin: int, end: int) -> str:
    table = {"dtype": code, "shape": list(shape), "data_offsets": [begin, end]}
    return json.dumps(table, separators=(",", ":"))


def seeds() -> list[Files]:
    """Sixty sound headers."""
    rng = random.Random(9)
    return [{NAME: usual(rng, strict=number % 2 == 0)} for number in range(60)]


def change(files: Files, rng: random.Random) -> Files:
    """Pieces of the text replaced, added or moved; the length follows, and in half of the cases the padding, too."""
    data = files[NAME]
    end = 8 + int.from_bytes(data[:8], "little")
    whole = len(data[8:end])
    text = data[8:end].rstrip(b" ")
    if rng.random() < 0.3:
        text = mutate_bytes(text, rng)
    else:
        for _ in range(rng.choice((1, 1, 2))):
            place, source = rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)
            if rng.random() < 0.2:
                place = text.find(b",", place) + 1
            piece = rng.choice((rng.choice(TOKENS), rng.choice(PIECES), text[source : source + rng.randrange(1, 40)]))
            text = text[:place] + piece + text[place + rng.choice((0, 0, len(piece), rng.randrange(4))) :]
    text = text.ljust(whole) if rng.random() < 0.5 else text + b" " * (-(8 + len(text)) % 4096)
    return {NAME: len(text).to_bytes(8, "little") + text + data[end:]}


def check(files: Files, folder: Path) -> str:
    """`loaded` if a way accepts it.

    Raises:
        AssertionError: The other does not, or reads it differently.
    """
    accepted = False
    for strict in (True, False):
        found = ours(files[NAME], strict=strict)
        with mock.patch.object(plain_header, "read_plainly", return_value=None):
            assert found == ours(files[NAME], strict=strict), "the two ways through a header differ"
        accepted = accepted or found is not None
    return "loaded" if accepted else "refused"
