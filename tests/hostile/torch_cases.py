"""Cases 71 to 77: PyTorch's files. No pickle in them may run, whatever else happens."""

from __future__ import annotations

import io
import json
import pickletools
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hostile.hostile_table import SAFE, Group

EVIL = b"cos\nmkdir\n(Vkx_trap_folder\ntR."
"""A pickle, written by hand, that makes a folder when it is read."""
IMPORTING = b"ckx_trap\nrun\n)R."
"""A pickle that imports a module of its choice."""


def members() -> dict[str, bytes]:
    """The members of a sound `.pt2` file, by name without the folder."""
    return dict(_members())


@cache
def _members() -> dict[str, bytes]:
    import torch

    buffer = io.BytesIO()
    torch.export.save(torch.export.export(torch.nn.Linear(2, 3), (torch.zeros(4, 2),)), buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def archive(path: Path, content: dict[str, bytes], root: str = "net/", method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as target:
        for name, data in content.items():
            target.writestr(root + name, data)
    return path


def honest(folder: Path) -> Path:
    return archive(folder / "net.pt2", members())


def pt2(change: Callable[[dict[str, bytes]], Any]) -> Any:
    def make(folder: Path) -> Path:
        content = members()
        change(content)
        return archive(folder / "net.pt2", content)

    return make


def edit(member: str, change: Callable[[Any], Any], **more: bytes) -> Any:
    def edited(content: dict[str, bytes]) -> None:
        document = json.loads(content[member])
        change(document)
        content[member] = json.dumps(document).encode()
        content.update(more)

    return pt2(edited)


WEIGHTS = "data/weights/model_weights_config.json"
PROGRAM = "models/model.json"


def weight(**changes: Any) -> Any:
    return edit(WEIGHTS, lambda d: d["config"]["weight"]["tensor_meta"].update(changes))


def tensor(storage: str, size: str, stride: str, count: int, offset: int = 0) -> bytes:
    """The pickle of `{"w": tensor}` as torch writes it; sizes are pickle opcodes."""
    whole = b"J" + struct.pack("<i", count)
    reference = (
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" + storage.encode() + b"X\3\0\0\0cpu" + whole + b"tQ"
    )
    start = b"\x8a\x08" + struct.pack("<q", offset)
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n((" + reference[1:] + start + size.encode("latin1")
    rebuilt += stride.encode("latin1") + b"\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}X\1\0\0\0w" + rebuilt + b"s."


def one(number: int) -> str:
    """A tuple of one 64-bit integer, as opcodes."""
    return "\x8a\x08" + struct.pack("<q", number).decode("latin1") + "\x85"


def checkpoint(pickled: bytes, data: bytes = b"\0" * 16, **more: bytes) -> Any:
    def make(folder: Path) -> Path:
        content = {"data.pkl": pickled, "byteorder": b"little", "data/0": data, "version": b"3\n", **more}
        return archive(folder / "net.pt", content, "archive/")

    return make


def legacy(folder: Path) -> Path:
    (folder / "net.pt").write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + EVIL)
    return folder / "net.pt"


def tar(folder: Path) -> Path:
    with tarfile.open(folder / "net.pt", "w") as target:
        for name, data in {"sys_info": EVIL, "pickle": EVIL, "storages": EVIL, "tensors": EVIL}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            target.addfile(entry, io.BytesIO(data))
    return folder / "net.pt"


def twice(folder: Path) -> Path:
    path = archive(folder / "net.pt2", members())
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as target:
        warnings.simplefilter("ignore")
        target.writestr(f"net/{PROGRAM}", b"{}")
    return path


def renamed_locally(folder: Path) -> Path:
    """The local header of the program names another member than the directory does."""
    path = archive(folder / "net.pt2", members())
    data = bytearray(path.read_bytes())
    place = data.index(f"net/{PROGRAM}".encode())
    data[place : place + 3] = b"evi"
    path.write_bytes(data)
    return path


def cases() -> Group:
    group = Group("torch", honest, ("torch",))
    for name, pickled in {"os.mkdir": EVIL, "an import": IMPORTING}.items():
        pickletools.dis(pickled, io.StringIO())
        group.add(71, f"pickle with {name}", checkpoint(pickled))
    group.add(71, "pickle with a billion laughs", checkpoint(b"\x80\x02]" + b"(2222222222t" * 50 + b"."))
    group.add(71, "pickle of nested lists", checkpoint(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."))
    group.add(71, "memo beyond the memory", checkpoint(b"\x80\x02}r\xff\xff\xff\x7f."), verdict=SAFE)
    group.add(72, "legacy pickle", legacy)
    group.add(72, "tar", tar)
    group.add(73, "stride 0, 10^12 elements", checkpoint(tensor("0", one(10**12), one(0), 4)))
    group.add(74, "view beyond its storage", checkpoint(tensor("0", one(1000), one(1), 4)))
    group.add(74, "storage shorter than it says", checkpoint(tensor("0", one(1000), one(1), 1000)))
    group.add(74, "negative offset", checkpoint(tensor("0", one(4), one(1), 4, -4)))
    group.add(74, "offset of 2^62", checkpoint(tensor("0", one(4), one(1), 4, 2**62)))
    group.add(74, "negative stride", checkpoint(tensor("0", one(4), one(-1), 4)))
    group.add(74, "storage of a path", checkpoint(tensor("../../evil", one(4), one(1), 4)))
    group.add(75, "two members of one name", twice, "two members")
    group.add(75, "another name in the local header", renamed_locally, "another name")
    pt2_cases(group)
    return group


def evil_samples(content: dict[str, bytes]) -> None:
    content[next(name for name in content if name.startswith("data/sample_inputs/"))] = EVIL


def pt2_cases(group: Group) -> None:
    group.add(76, "pickle among the sample inputs", pt2(evil_samples), verdict=SAFE)
    pickled = edit(WEIGHTS, lambda d: d["config"]["weight"].update(use_pickle=True), **{"data/weights/weight_0": EVIL})
    group.add(77, "pickled weight", pickled, "pickle")
    for name in ("data/constants/custom_obj_0", "data/aotinductor/model/a.so", "data/aotinductor/model/a.cubin"):
        group.add(77, name, pt2(lambda c, name=name: c.update({name: EVIL})), "pickled object|compiled code")
    for target in (
        "os.system",
        "torch.load",
        "torch.ops.load_library",
        "kx_trap.run",
        "torch.ops.aten.from_file.default",
    ):
        change = edit(PROGRAM, lambda d, t=target: d["graph_module"]["graph"]["nodes"][0].update(target=t))
        group.add(77, f"operator {target}", change, target)
    group.add(74, ".pt2 weight beyond its bytes", weight(strides=[{"as_int": 10**6}, {"as_int": 1}]), "beyond")
    huge = weight(sizes=[{"as_int": 10**12}, {"as_int": 2}], strides=[{"as_int": 0}, {"as_int": 1}])
    group.add(73, ".pt2 weight with stride 0", huge, "elements")
