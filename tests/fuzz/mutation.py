"""Mutations that know a little of what they mutate: bytes with lengths and varints in them, and trees of JSON."""

from __future__ import annotations

import copy
import random
import struct
from typing import Any

from protobuf_fields import varint

NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 63, 64, 127, 128, 255, 256, 4095, 4096, 65535, 65536),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**47, 2**48, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64),
)
WORDS = (
    "",
    "a",
    "w",
    "x",
    "main",
    "__class__",
    "../x",
    "\0",
    "\u202e",
    "\ud800",
    "e\u0301",
    "float32[2]",
    "i64:5",
    "f64:0x0",
    "9" * 30,
)


def mutate_bytes(data: bytes, rng: random.Random, limit: int | None = None) -> bytes:
    """One to six local changes, most of them within the first `limit` bytes, where formats keep their structure."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        size = len(found)
        if not size:
            break
        place = rng.randrange(min(size, limit) if limit and rng.random() < 0.8 else size)
        match rng.randrange(9):
            case 0:
                found[place] ^= 1 << rng.randrange(8)
            case 1:
                found[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                width, number = rng.choice((2, 4, 8)), rng.choice(NUMBERS)
                found[place : place + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")
            case 3:
                found[place : place + rng.randrange(1, 10)] = b""
            case 4:
                source = rng.randrange(size)
                found[place:place] = found[source : source + rng.choice((1, 4, 16, 64))]
            case 5:
                source, width = rng.randrange(size), rng.choice((1, 2, 4, 8, 32))
                found[place : place + width] = found[source : source + width]
            case 6:
                del found[max(place, 1) :]
            case 7:
                found[place:place] = varint(rng.choice(NUMBERS))
            case _:
                width = min(rng.choice((2, 4)), size - place)
                word = int.from_bytes(found[place : place + width], "little") + rng.choice((-8, -4, -1, 1, 4, 8))
                found[place : place + width] = (word % 2 ** (8 * width)).to_bytes(width, "little")
    return bytes(found)


def mutate_json(tree: Any, rng: random.Random) -> Any:
    """A copy of a tree with one to four nodes replaced, moved, doubled or removed."""
    found = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(found))
        if not places:
            break
        container, key = rng.choice(places)
        try:
            _change(container, key, places, rng)
        except (KeyError, IndexError):
            continue  # an earlier change removed it
    return found


def _change(container: Any, key: Any, places: list[Any], rng: random.Random) -> None:
    other, other_key = rng.choice(places)
    match rng.randrange(8):
        case 0:
            del container[key]
        case 1:
            container[key] = copy.deepcopy(other[other_key])
        case 2:
            container[key] = value(rng)
        case 3 if isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        case 3:
            container[rng.choice(WORDS)] = container[key]
        case 4 if isinstance(container[key], bool):
            container[key] = not container[key]
        case 4 if isinstance(container[key], int):
            container[key] += rng.choice((-2, -1, 1, 2, 100))
        case 4 if isinstance(container[key], str):
            container[key] = mutate_text(container[key], rng)
        case 5:
            container[key], other[other_key] = copy.deepcopy(other[other_key]), copy.deepcopy(container[key])
        case 6:
            container[key] = [copy.deepcopy(container[key])]
        case _:
            container[key] = value(rng)


def mutate_text(text: str, rng: random.Random) -> str:
    """A text with a piece changed."""
    place = rng.randrange(len(text) + 1)
    piece = rng.choice((*"0129*+-/%()[],:. ab", *WORDS, str(rng.choice(NUMBERS))))
    return text[:place] + piece + text[place + rng.randrange(3) :]


def value(rng: random.Random) -> Any:
    """Any JSON value."""
    number = rng.choice(NUMBERS) * rng.choice((1, 1, -1))
    return rng.choice((None, True, False, number, rng.choice(WORDS), [], {}, [number], {"a": number}, 1.5, [[]] * 3))


def _places(tree: Any) -> Any:
    stack = [tree]
    while stack:
        item = stack.pop()
        keys = range(len(item)) if isinstance(item, list) else list(item) if isinstance(item, dict) else ()
        for key in keys:
            yield item, key
            stack.append(item[key])


def length_prefixed(text: bytes, data: bytes) -> bytes:
    """A container."""
    return struct.pack("<Q", len(text)) + text + data
