"""Tensors of `.pt` and `.pth` files, by name: zip archives, the stream of old, TorchScript; mapped, nothing is run."""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from kxchange.errors import FormatError, LimitError
from kxchange.model import Array, Parameter, Role
from kxchange.types import DType, TensorType
from kxchange_torch.pickled_data import Named, Record, Stored, read_pickle
from kxchange_torch.pt2_archive import Pt2Archive

MAGIC = 0x1950A86A20F9469CFC6C
"""First pickle of a stream, as torch before 1.6 wrote it."""
PROTOCOL = 1001
HEADS = (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",)
"""First bytes of a stream."""
MAX_RANK = 32
MAX_SPREAD = 2**26
"""Elements that a tensor may have beyond those stored, by strides of 0."""
MAX_DEPTH = 64
STORAGES: dict[str, DType] = {
    "Float": DType.FLOAT32,
    "Double": DType.FLOAT64,
    "Half": DType.FLOAT16,
    "BFloat16": DType.BFLOAT16,
    "Long": DType.INT64,
    "Int": DType.INT32,
    "Short": DType.INT16,
    "Char": DType.INT8,
    "Byte": DType.UINT8,
    "Bool": DType.BOOL,
    "ComplexFloat": DType.COMPLEX64,
    "ComplexDouble": DType.COMPLEX128,
    "Untyped": DType.UINT8,
}
"""Element type by the name of a storage class."""
DTYPES: dict[str, DType] = {
    dtype.value: dtype
    for dtype in DType
    if dtype.value.startswith(("float", "bfloat16", "int", "uint", "bool", "complex")) and dtype.numpy.itemsize
}
"""Element type by torch's name; torch and kxchange call them the same."""


@dataclass(slots=True, eq=False)
class Storage:
    """A stretch of the file.

    Attributes:
        key: Name of the storage.
        dtype: Element type.
        count: Elements, as the pickle says.
        begin: Offset in the file; for a stream it is known only after the pickle.
    """

    key: str
    dtype: DType
    count: int
    begin: int = -1


def sniff_checkpoint(path: Path, head: bytes) -> str | None:
    """``"torchscript"`` or ``"state dict"`` for a file of pickled tensors; None for any other."""
    if head.startswith(HEADS):
        return "state dict"
    if not head.startswith(b"PK\x03\x04"):
        return None
    try:
        members = Pt2Archive(path, skip_compressed=True).members
    except FormatError:
        return None
    if "data.pkl" not in members:
        return None
    return "torchscript" if "constants.pkl" in members else "state dict"


def tensors(path: Path, head: bytes) -> dict[str, Parameter] | None:
    """The tensors of a state dict or a TorchScript archive; None for any other file; errors as `read_checkpoint`."""
    return read_checkpoint(path) if sniff_checkpoint(path, head) else None


def read_checkpoint(path: Path) -> dict[str, Parameter]:
    """Every tensor of a file, by the keys and fields that lead to it, joined by dots.

    Args:
        path: What `torch.save` or `torch.jit.save` wrote.

    Raises:
        FormatError: It is damaged, is of another byte order, or its pickle names what no state dict needs.
        LimitError: It is larger than any state dict is.
    """
    path = Path(path)
    with path.open("rb") as stream:
        head = stream.read(64)
    root, memory = _read_archive(path) if head.startswith(b"PK") else _read_stream(path)
    named: dict[str, Parameter] = {}
    for name, tensor in _tensors(root):
        if name in named:
            raise FormatError(f"{path.name} has two tensors that are both called {name!r}.")
        named[name] = _parameter(path.name, name, tensor, memory)
    return named


def _read_archive(path: Path) -> tuple[Any, mmap.mmap]:
    archive = Pt2Archive(path, skip_compressed=True)
    order = archive.bytes("byteorder") if "byteorder" in archive.members else b"little"
    if order.strip() != b"little":
        raise FormatError(f"{path.name} was written by a big-endian machine. Save it again on a little-endian one.")
    known: dict[str, Storage] = {}

    def persistent(identity: Any) -> Storage:
        storage = _storage(path.name, identity)
        begin, length = archive.place(f"data/{storage.key}")
        if storage.count * storage.dtype.numpy.itemsize > length:
            raise FormatError(f"{path.name}: the storage {storage.key!r} is shorter than the pickle says.")
        storage.begin = begin
        return known.setdefault(storage.key, storage)

    return read_pickle(BytesIO(archive.bytes("data.pkl")), path.name, persistent), archive.memory


def _read_stream(path: Path) -> tuple[Any, mmap.mmap]:
    """Five pickles, then every storage as its length and its bytes."""
    with path.open("rb") as stream:
        memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    known: dict[str, Storage] = {}

    def persistent(identity: Any) -> Storage:
        storage = _storage(path.name, identity)
        return known.setdefault(storage.key, storage)

    def refused(_: Any) -> Any:
        raise FormatError(f"{path.name}: its header refers to a storage.")

    file: Any = memory  # a mapped file reads like an open one
    magic, protocol, system = (read_pickle(file, path.name, refused) for _ in range(3))
    if magic != MAGIC or protocol != PROTOCOL:
        raise FormatError(f"{path.name} is a pickle, but not one that torch.save wrote. Nothing in it was run.")
    if isinstance(system, Mapping) and system.get("little_endian") is False:
        raise FormatError(f"{path.name} was written by a big-endian machine. Save it again on a little-endian one.")
    root = read_pickle(file, path.name, persistent)
    keys = read_pickle(file, path.name, refused)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(known):
        raise FormatError(f"{path.name}: its storages are not those that its tensors use; it is damaged.")
    position = memory.tell()
    for key in keys:
        position = _place(path.name, memory, position, known[str(key)])
    return root, memory


def _place(file: str, memory: mmap.mmap, position: int, storage: Storage) -> int:
    """Find a storage at `position` of a stream; returns where the next one starts."""
    end = position + 8 + storage.count * storage.dtype.numpy.itemsize
    if end > len(memory):
        raise FormatError(f"{file} is cut off in the storage {storage.key!r}. Download it again.")
    if struct.unpack_from("<q", memory, position)[0] != storage.count:
        raise FormatError(f"{file}: the storage {storage.key!r} has another length than the pickle says.")
    storage.begin = position + 8
    return end


def _storage(file: str, identity: Any) -> Storage:
    """What a pickle says of a storage: ``("storage", class, key, device, elements[, view])``."""
    if isinstance(identity, tuple) and identity[:1] == ("module",):
        raise FormatError(
            f"{file} holds a whole module ({str(identity[1:2])[:100]}), not its weights; it was not run. If you trust "
            "it, load it yourself and save module.state_dict()."
        )
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise FormatError(f"{file}: its pickle refers to {str(identity)[:60]}, which is no storage.")
    kind, key, count = identity[1], identity[2], identity[4]
    dtype = STORAGES.get(kind.name.removesuffix("Storage")) if isinstance(kind, Named) else None
    if dtype is None or kind.module not in ("torch", "torch.storage", "torch.cuda"):
        raise FormatError(f"{file}: a storage has the class {str(kind)[:60]}, which has no element type in kxchange.")
    if len(identity) == 6 and identity[5] is not None:
        raise FormatError(f"{file}: the storage {key!r} is a view of another one. Save the tensors again.")
    if not isinstance(key, str) or type(count) is not int or not 0 <= count < 2**48:
        raise FormatError(f"{file}: a storage has the key {str(key)[:40]!r} and {str(count)[:40]} elements.")
    return Storage(key, dtype, count)


def _tensors(root: Any) -> Iterator[tuple[str, Stored]]:
    """Tensors below nested containers, with the path to each; a container is entered once."""
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), root)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, Stored):
            yield ".".join(path) or "tensor", item
            continue
        content = item.fields if isinstance(item, Record) else item
        if isinstance(content, list | tuple):
            content = dict(enumerate(content))
        if not isinstance(content, dict) or id(item) in seen or len(path) > MAX_DEPTH:
            continue
        seen.add(id(item))
        below = [((*path, str(key)), value) for key, value in content.items() if isinstance(key, str | int)]
        waiting.extend(reversed(below))


def _parameter(file: str, name: str, tensor: Stored, memory: mmap.mmap) -> Parameter:
    storage = tensor.storage
    if not isinstance(storage, Storage):
        raise FormatError(f"{file}: the tensor {name!r} has no storage.")
    dtype = DTYPES.get(tensor.dtype) if tensor.dtype else storage.dtype
    if dtype is None:
        raise FormatError(f"{file}: the tensor {name!r} has the element type {tensor.dtype!r}, unknown in kxchange.")
    sizes, strides, width = tensor.sizes, tensor.strides, dtype.numpy.itemsize
    if len(sizes) != len(strides) or len(sizes) > MAX_RANK:
        raise FormatError(f"{file}: the tensor {name!r} has {len(sizes)} sizes and {len(strides)} strides.")
    stored, count = storage.count * storage.dtype.numpy.itemsize // width, math.prod(sizes)
    if count and tensor.offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True)) >= stored:
        raise FormatError(f"{file}: the tensor {name!r} reaches beyond its storage of {stored:,} elements.")
    if count > stored + MAX_SPREAD:
        raise LimitError(f"{file}: the tensor {name!r} has {count:,} elements, {stored:,} stored.")

    def values() -> Array:
        return _view(file, name, memory, storage.begin, stored, dtype, tensor)

    role = Role.PARAMETER if dtype.is_floating or dtype.is_complex else Role.BUFFER
    return Parameter(name, values, type=TensorType(dtype, sizes), role=role, trainable=tensor.trainable)


def _view(file: str, name: str, memory: mmap.mmap, begin: int, stored: int, dtype: DType, tensor: Stored) -> Array:
    """The elements, in the mapped file."""
    if 0 in tensor.sizes:
        return np.empty(tensor.sizes, dtype.numpy)
    if dtype is DType.BOOL and np.frombuffer(memory, np.uint8, stored, begin).max(initial=0) > 1:
        raise FormatError(f"{file}: the tensor {name!r} has booleans that are neither 0 nor 1.")
    whole = np.frombuffer(memory, dtype.numpy, stored, begin)[tensor.offset :]
    steps = tuple(stride * dtype.numpy.itemsize for stride in tensor.strides)
    view = np.lib.stride_tricks.as_strided(whole, tensor.sizes, steps, writeable=False)
    return view if view.flags.aligned else view.copy()
