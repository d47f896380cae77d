"""Checkpoints as arrays by name: Flax msgpack files, and Orbax folders. Nothing in them is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np

from kxchange.errors import FormatError, MissingBackendError
from kxchange.model import Array, Parameter, Role
from kxchange.types import DType

DEEPEST = 64
"""Levels of a tree of parameters."""
NDARRAY, COMPLEX, SCALAR = 1, 2, 3
"""Flax's extension types of msgpack."""
CHUNKED = "__msgpack_chunked_array__"
BOX = ".value"
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
DTYPES = frozenset((*INTEGERS, "bool", "float16", "float32", "float64", "complex64"))
TEXT = range(0xA0, 0xC0)
"""First bytes of a short string."""


def sniff(path: Path, head: bytes) -> str | None:
    """What kind of checkpoint this is, if `read` takes it: a msgpack map, or an Orbax folder."""
    if path.is_dir():
        return "orbax checkpoint" if _orbax_item(path) else None
    return "flax msgpack checkpoint" if _is_map(head) and not _is_pickle(head) else None


def tensors(path: Path, head: bytes) -> dict[str, Parameter] | None:
    """The tensors of a checkpoint, for `kx.load_weights`; None if it is none.

    Args:
        path: A file or folder.
        head: Its first bytes.

    Raises:
        FormatError: It is damaged.
    """
    if sniff(path, head) is None:
        return None
    found = read(path)
    return {name: Parameter(name, array, role=_role(array)) for name, array in found.items()}


def _role(array: Array) -> Role:
    dtype = DType.of(array.dtype)
    return Role.PARAMETER if dtype.is_floating or dtype.is_complex else Role.BUFFER


def _is_map(head: bytes) -> bool:
    """Whether bytes begin a msgpack map whose first key is text."""
    if not head:
        return False
    skipped = {0xDE: 3, 0xDF: 5}.get(head[0], 1 if 0x80 < head[0] <= 0x8F else 0)
    key = head[skipped] if 0 < skipped < len(head) else 0
    return key in TEXT or key in (0xD9, 0xDA)


def _is_pickle(head: bytes) -> bool:
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def read(path: Path) -> dict[str, Array]:
    """The arrays of a checkpoint, by their paths joined by dots; numbers are arrays of rank 0.

    Args:
        path: A file that `flax.serialization` wrote, or an Orbax folder (a step of one, or one item in it).

    Raises:
        FormatError: It is damaged, or holds something else.
        MissingBackendError: A package that reads it is not installed.
    """
    path = Path(path)
    found = dict(_leaves(_orbax(path) if path.is_dir() else _msgpack(path), ()))
    # NNX writes each variable as a tree of its own, with its array under this key.
    return {name.removesuffix(BOX): x for name, x in found.items()} if all(n.endswith(BOX) for n in found) else found


def _leaves(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Array]]:
    if len(path) > DEEPEST:
        raise FormatError(f"the checkpoint is a tree of more than {DEEPEST} levels, at {'.'.join(path[:4])!r} ...")
    if isinstance(tree, Mapping):
        items = list(cast("Mapping[Any, Any]", tree).items())
    elif isinstance(tree, list | tuple):
        items = list(enumerate(cast("list[Any]", tree)))
    else:
        if isinstance(tree, np.ndarray | np.generic | bool | int | float | complex):
            yield ".".join(path), np.asarray(tree)
        return
    for key, item in items:
        yield from _leaves(item, (*path, str(key)))


def _msgpack(path: Path) -> Any:
    try:
        import msgpack
    except ImportError:
        raise MissingBackendError('flax msgpack files need msgpack. Run: pip install "kxchange[jax]".') from None
    data = path.read_bytes()
    if _is_pickle(data[:2]):
        raise FormatError(f"{path.name} is a Python pickle, which kxchange never opens because it can run code.")
    try:
        tree = msgpack.unpackb(data, ext_hook=_extension, raw=False, strict_map_key=False)
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(f"{path.name} is no flax msgpack file: {type(error).__name__}: {error}.") from error
    if not isinstance(tree, dict):
        raise FormatError(f"{path.name} holds a {type(tree).__name__}, not a tree of arrays.")
    return _joined(tree, 0)


def _extension(code: int, data: bytes) -> Any:
    import msgpack

    if code in (NDARRAY, SCALAR):
        array = _array(msgpack.unpackb(data, raw=True))
        return array if code == NDARRAY else array.reshape(())
    if code == COMPLEX:
        real, imaginary = msgpack.unpackb(data)
        return complex(real, imaginary)
    raise FormatError(f"the file has values of the unknown msgpack extension {code}.")


def _array(parts: Any) -> Array:
    """An array as Flax packs one: shape, name of the element type, bytes.

    Raises:
        FormatError: The parts contradict each other, or the element type is none.
    """
    try:
        shape, name, data = parts
        text = name.decode("ascii")
        sizes = tuple(int(size) for size in shape)
    except (TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"an array of the file is damaged: {error}.") from error
    if text not in DTYPES | {"bfloat16"}:
        raise FormatError(f"an array of the file has the element type {text!r}, which no parameter has.")
    dtype = np.dtype(ml_dtypes.bfloat16) if text == "bfloat16" else np.dtype(text)
    count = 1
    for size in sizes:
        count *= max(size, 0)
    if any(size < 0 for size in sizes) or not isinstance(data, bytes) or count * dtype.itemsize != len(data):
        raise FormatError(f"an array of the file says it is {text}{list(sizes)}, and has other data.")
    return np.frombuffer(data, dtype).reshape(sizes)


def _joined(tree: Any, depth: int) -> Any:
    """The tree with arrays that were written in chunks put together."""
    if not isinstance(tree, dict) or depth > DEEPEST:
        return tree
    items = cast("dict[Any, Any]", tree)
    if CHUNKED not in items:
        return {key: _joined(item, depth + 1) for key, item in items.items()}
    try:
        shape = tuple(int(items["shape"][key]) for key in sorted(items["shape"], key=int))
        chunks = [np.asarray(items["chunks"][key]).reshape(-1) for key in sorted(items["chunks"], key=int)]
        return np.concatenate(chunks).reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"an array in chunks is damaged: {type(error).__name__}: {error}.") from error


def _orbax_item(path: Path) -> Path | None:
    """The folder that holds the arrays: this one, or the only one in it that does."""
    if any((path / name).exists() for name in ("_METADATA", "manifest.ocdbt")):
        return path
    inner = [child for child in path.iterdir() if child.is_dir() and (child / "_METADATA").exists()]
    return inner[0] if len(inner) == 1 else None


def _orbax(path: Path) -> Any:
    try:
        import jax
        import orbax.checkpoint as ocp
    except ImportError:
        raise MissingBackendError(
            "orbax checkpoints need orbax-checkpoint. Run: pip install orbax-checkpoint."
        ) from None
    item = _orbax_item(path)
    if item is None:
        raise FormatError(f"{path.name} holds no Orbax checkpoint, or several. Name the folder with _METADATA in it.")
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree: Any = checkpointer.metadata(item.absolute()).item_metadata.tree
            plain = jax.tree_util.tree_map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            return checkpointer.restore(item.absolute(), restore_args=plain)
    except Exception as error:
        raise FormatError(f"{path.name} is a damaged Orbax checkpoint: {type(error).__name__}: {error}.") from error
