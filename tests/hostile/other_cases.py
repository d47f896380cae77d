"""Cases 95 and 97: GGUF and NumPy files, which kxchange does not read as models, and formats it only recognises."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

from hostile.honest_files import honest_kx
from hostile.hostile_table import REFUSE, SAFE, Group


def put(name: str, data: bytes) -> Any:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def gguf(version: int = 3, tensors: int = 0, pairs: int = 0, body: bytes = b"", order: str = "<") -> Any:
    return put("net.gguf", b"GGUF" + struct.pack(f"{order}IQQ", version, tensors, pairs) + body)


def pair(key: bytes, kind: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(key) if length is None else length) + key + struct.pack("<I", kind) + value


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def npy(descr: str, shape: str, data: bytes = b"", order: str = "False") -> bytes:
    head = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    head += b" " * (-(10 + len(head) + 1) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data


def npz(name: str, **members: bytes) -> Any:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(f"{member}.npy", data)
    return put(name, buffer.getvalue())


def cases() -> Group:
    group = Group("other", honest_kx)
    align = b"general.alignment"
    for name, make in {
        "n_kv 2^63": gguf(pairs=2**63),
        "n_tensors 2^63": gguf(tensors=2**63),
        "key of 2^63": gguf(pairs=1, body=pair(b"a", 4, b"", 2**63)),
        "alignment 0": gguf(pairs=1, body=pair(align, 4, struct.pack("<I", 0))),
        "alignment 3": gguf(pairs=1, body=pair(align, 4, struct.pack("<I", 3))),
        "alignment 2^31": gguf(pairs=1, body=pair(align, 4, struct.pack("<I", 2**31))),
        "key twice": gguf(pairs=2, body=pair(b"a", 4, bytes(4)) * 2),
        "other byte order": gguf(order=">"),
        "template": gguf(pairs=1, body=pair(b"tokenizer.chat_template", 8, text(b"{{ ''.__class__.__mro__ }}"))),
    }.items():
        group.add(95, name, make, "GGUF")
    vast = npy("'<f4'", "(1000000, 1000000)")
    for name, make in {
        "objects": npz("net.npz", w=npy("'|O'", "(1,)", b"cos\nmkdir\n(Vkx_trap_folder\ntR.")),
        "4 TB": npz("net.npz", w=vast),
        "bomb": npz("net.npz", w=npy("'<f4'", "(67108864,)", bytes(2**28))),
        "Fortran order": npz("net.npz", w=npy("'<f4'", "(2, 3)", bytes(20), "True")),
        "structured": npz("net.npz", w=npy("[('a', '<f4')]", "(2,)", bytes(8))),
        "code as a header": npz("net.npz", w=npy("__import__('kx_trap')", "(2,)", bytes(8))),
        "plain .npy of objects": put("net.npy", npy("'|O'", "(1,)", b"cos\nmkdir\n(Vkx_trap_folder\ntR.")),
        "plain .npy of 4 TB": put("net.npy", vast),
    }.items():
        group.add(97, name, make)
        verdict = SAFE if name == "bomb" else REFUSE
        group.add(97, f"{name}, as inputs", make, "cannot read", verdict=verdict, action="samples")
    return group
