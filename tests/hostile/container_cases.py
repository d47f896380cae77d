"""Cases 1 to 40: the container."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

from hostile.honest_files import honest_kx
from hostile.hostile_table import Case, Group

F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
KX = '"__metadata__":{"format":"pt","kx":"{}"}'


def file(text: bytes | str, data: bytes = b"", *, pad: bytes | None = None, length: int | None = None) -> bytes:
    """A container around a header text, padded to 4096 unless told otherwise."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    raw += b" " * (-(8 + len(raw)) % 4096) if pad is None else pad
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def table(data: bytes, **tensors: Any) -> bytes:
    """A container of tensors; values are entries or JSON texts."""
    rows = [f"{json.dumps(name)}:{row if isinstance(row, str) else json.dumps(row)}" for name, row in tensors.items()]
    return file("{" + ",".join([KX, *rows]) + "}", data)


def entry(dtype: str, shape: Any, begin: Any, end: Any) -> str:
    return json.dumps({"data_offsets": [begin, end], "dtype": dtype, "shape": shape}, separators=(",", ":"))


def put(data: bytes) -> Any:
    def make(folder: Path) -> None:
        (folder / "net.kx").write_bytes(data)

    return make


def many() -> bytes:
    row = ':{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    rows = ",".join(f'"{number:x}"{row}' for number in range(440_000))
    return file("{" + KX + "," + rows + "}")


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("evil.py", "raise SystemExit")
    return buffer.getvalue()


def sound() -> bytes:
    return table(b"\0\0\0\0", a=entry("F32", [1], 0, 4))


def bools(value: int) -> Any:
    def make(folder: Path) -> None:
        data = bytearray(honest_kx(folder).read_bytes())
        data[-1] = value  # the bool tensor has the smallest elements and so lies last
        (folder / "net.kx").write_bytes(data)

    return make


def cases() -> Group:
    group = Group("container", honest_kx)
    for number, name, data, match in (*lengths(), *texts(), *coverage(), *shapes(), *names()):
        group.cases.append(Case(number, name, put(data), match=match))
    for value in (2, 255):
        group.add(37, f"bool byte {value}", bools(value), f"byte {value}")
    group.add(40, "cut after it was opened", honest_kx, "changed in place", action="shrink")
    group.add(38, "zip appended", put(sound() + zipped()), "after its last tensor")
    group.add(38, "executable in front", put(b"\x7fELF" + sound()), "executable")
    group.add(39, "gzip", put(gzip.compress(sound())), "gzip")
    group.add(39, "zip", put(zipped()), "zip")
    group.add(
        39, "LFS pointer", put(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"), "git lfs"
    )
    return group


def lengths() -> Any:
    honest = sound()
    yield 1, "empty", b"", "empty"
    yield 2, "7 bytes", b"\1\0\0\0\0\0\0", "7 bytes"
    yield 3, "length 0", struct.pack("<Q", 0) + b"{}", "header of 0"
    yield 4, "length 1", struct.pack("<Q", 1) + b"{}", "header"
    yield 5, "length 2^63", file("{}", length=2**63), "25,000,000"
    yield 5, "length 2^64-1", file("{}", length=2**64 - 1), "25,000,000"
    yield 6, "length above the file", file("{}", length=5000), "claims a header"
    yield 7, "header above 25 MB", file("{" + KX + " " * 25_000_000 + "}"), "25,000,000"
    yield 13, "byte after the data", honest + b"\0", "after its last tensor"
    yield 14, "missing byte", honest[:-1], "missing"


def texts() -> Any:
    yield 8, "not UTF-8", file(b'{"\xff":1}'), "UTF-8"
    yield 9, "overlong UTF-8", file(b'{"\xc0\x80":1}'), "UTF-8"
    yield 10, "blank in front", file(" {" + KX + "}"), "does not start"
    for char in "\t\n\r\0":
        yield 11, f"padded with {char!r}", file("{" + KX + "}", pad=char.encode() * 8), "ends with byte"
    yield 12, "byte order mark", file("\ufeff{" + KX + "}"), "does not start"
    yield 30, "key twice in metadata", file('{"__metadata__":{"kx":"{}","kx":"[]"}}'), "twice"
    yield 31, "metadata twice", file("{" + KX + "," + KX + "}"), "twice"
    yield 32, "key twice in the document", file('{"__metadata__":{"kx":"{\\"kx\\":1,\\"kx\\":1}"}}'), "twice"
    yield 33, "metadata value a number", file('{"__metadata__":{"kx":1}}'), "not a string"
    yield 33, "metadata value null", file('{"__metadata__":{"kx":null}}'), "not a string"
    yield 33, "metadata a list", file('{"__metadata__":[]}'), "not an object"


def coverage() -> Any:
    word = b"\0" * 4
    yield 15, "hole", table(word * 3, a=entry("F32", [1], 0, 4), b=entry("F32", [1], 8, 12)), "hole"
    yield 15, "hole in front", table(word * 2, a=entry("F32", [1], 4, 8)), "hole"
    yield 16, "overlap", table(word * 2, a=entry("F32", [1], 0, 4), b=entry("U8", [6], 2, 8)), "overlap"
    yield 17, "one range twice", table(word, a=entry("F32", [1], 0, 4), b=entry("F32", [1], 0, 4)), "overlap"
    yield 18, "reversed offsets", table(word, a=entry("F32", [1], 4, 0)), "data_offsets"
    yield 19, "negative offset", table(word, a=entry("F32", [1], -4, 0)), "data_offsets"
    yield 20, "float offset", table(word, a=entry("F32", [1], 0, 4.0)), "4.0"
    yield 21, "minus zero", table(word, a='{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}'), "-0"
    yield 22, "offset 2^64", table(word, a=entry("F32", [1], 0, 2**64)), "2\\^53"
    yield 23, "shape does not fill its range", table(word, a=entry("F32", [2], 0, 4)), "needs 8"
    yield 34, "unknown field", table(word, a='{"data_offsets":[0,4],"dtype":"F32","shape":[1],"x":1}'), "exactly"


def shapes() -> Any:
    yield 24, "product overflows", table(b"", a=entry("U8", [2, 2**64 - 2], 0, 4)), "2\\^53"
    yield 24, "product overflows below 2^48", table(b"", a=entry("U8", [2**40, 2**40], 0, 0)), "product"
    yield 25, "zero times 2^63-1", table(b"", a=entry("F32", [0, 2**63 - 1], 0, 0)), "2\\^53"
    yield 25, "zero times 2^47 twice", table(b"", a=entry("F32", [0, 2**47, 2**47], 0, 0)), "product"
    yield 26, "rank 65", table(b"\0", a=entry("U8", [1] * 65, 0, 1)), "rank"
    yield 26, "rank 1,000,000", table(b"\0", a=entry("U8", [1] * 10**6, 0, 1)), "rank"
    yield 27, "unknown dtype", table(b"\0", a=entry("I4", [2], 0, 1)), "dtype 'I4'"
    yield 27, "dtype a list", table(b"\0", a='{"data_offsets":[0,1],"dtype":[],"shape":[1]}'), "dtype"
    yield 28, "half a byte", table(b"\0\0", a=entry("F4", [3], 0, 2)), "needs 1.5"
    yield 36, "440,000 tensors of size 0", many(), "tensors"


def names() -> Any:
    def twin(first: str, second: str, other: str = "F32") -> bytes:
        rows = f"{json.dumps(first)}:{entry('F32', [1], 0, 4)},{json.dumps(second)}:{entry(other, [1], 0, 4)}"
        return file("{" + KX + "," + rows + "}", b"\0\0\0\0")

    yield 29, "name twice, other dtype", twin("a", "a", "I32"), "twice"
    yield 35, "empty name", table(b"\0\0\0\0", **{"": entry("F32", [1], 0, 4)}), "empty"
    for char in ("\0", "\x1b", "\x7f", "\ud800", "\u202e"):
        match = "surrogate" if char == "\ud800" else "U\\+00|U\\+202E"
        yield 35, f"name with {char!a}", table(b"\0\0\0\0", **{f"a{char}": entry("F32", [1], 0, 4)}), match
    yield 35, "name of 1 MB", table(b"\0\0\0\0", **{"a" * 2**20: entry("F32", [1], 0, 4)}), "512"
    yield 35, "twin names", twin("\u00e9", "e\u0301"), "look the same|form C"
