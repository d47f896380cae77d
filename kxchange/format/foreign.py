"""What a file is that is not the one expected: recognised by its first bytes, for messages only."""

from __future__ import annotations

PREFIX_BYTES = 64
"""How many leading bytes `foreign_kind` looks at."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive (a `.keras`, `.pt`, `.pt2` or `.npz` file?)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "gzip data; decompress it first"),
    (b"\x28\xb5\x2f\xfd", "zstandard data; decompress it first"),
    (b"\xfd7zXZ", "xz data; decompress it first"),
    (b"BZh", "bzip2 data; decompress it first"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (a Keras `.h5` file?)"),
    (b"GGUF", "a GGUF file"),
    (b"\x7fELF", "an executable"),
    (b"MZ", "a Windows executable"),
    (b"\x93NUMPY", "a NumPy `.npy` file"),
    (b"ML\xefR", "MLIR bytecode"),
    (b"<!DOCTYPE", "a web page; was the download redirected to a log-in page?"),
    (b"<html", "a web page; was the download redirected to a log-in page?"),
    (b"#!", "a script"),
)


def foreign_kind(prefix: bytes) -> str | None:
    """A phrase that says what a file is, or `None`.

    Args:
        prefix: The first bytes of the file, up to `PREFIX_BYTES`.
    """
    for magic, kind in _MAGIC:
        if prefix.startswith(magic):
            return kind
    if prefix[4:8] == b"TFL3":
        return "a TensorFlow Lite file"
    if prefix[:1] == b"\x80" and prefix[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a Python pickle, which kxchange never opens because it can run code"
    # Field 1 of a ModelProto is the IR version, a small varint; field 2, 7 or 8 comes next.
    if prefix[:1] == b"\x08" and prefix[1:2] and 3 <= prefix[1] <= 20 and prefix[2:3] in (b"\x12", b":", b"B"):
        return "an ONNX model; name it `.onnx`"
    return None
