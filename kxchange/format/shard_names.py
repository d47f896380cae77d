"""What the files of a sharded model are called."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kxchange.errors import FormatError
from kxchange.format.names import shown

INDEX_SUFFIX = ".kx.index.json"
_SHARD = re.compile(r"[A-Za-z0-9._-]{1,128}-([0-9]{5})-of-([0-9]{5})\.kx")
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]")
_ID_CHARACTERS = 12
# Names that a Windows system takes for devices, whatever follows the first dot.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)


def index_path(path: str | os.PathLike[str]) -> Path:
    """The index that stands for `net.kx` where the model is sharded: `net.kx.index.json`."""
    path = Path(path)
    if path.name.endswith(INDEX_SUFFIX):
        return path
    stem = path.name.removesuffix(".kx")
    return path.with_name(stem + INDEX_SUFFIX)


def shard_name(index: Path, layout: str, number: int, count: int) -> str:
    """Name of one shard, by its content: another save never writes over the shards of this one.

    Args:
        index: The index file.
        layout: Hash of the model id and of which tensors lie in which shard.
        number: From 1.
        count: How many there are.
    """
    stem = _UNUSUAL.sub("_", index.name.removesuffix(INDEX_SUFFIX))[:100] or "model"
    return f"{stem}-{layout[:_ID_CHARACTERS]}-{number:05}-of-{count:05}.kx"


def our_shards(index: Path) -> re.Pattern[str]:
    """Matches every name that `shard_name` gives to shards of this index."""
    stem = _UNUSUAL.sub("_", index.name.removesuffix(INDEX_SUFFIX))[:100] or "model"
    return re.compile(rf"{re.escape(stem)}-[0-9a-f]{{{_ID_CHARACTERS}}}-[0-9]{{5}}-of-[0-9]{{5}}\.kx")


def check_shard_name(name: str, number: int, count: int, source: str) -> None:
    """Refuse what is not the plain name of shard `number` of `count`: no folder, no other place, no device.

    Raises:
        FormatError: It is something else.
    """
    match = _SHARD.fullmatch(name)
    if match is None or name.startswith(".") or _DEVICE.fullmatch(name):
        raise FormatError(f"{source}: {shown(name)} is not the name of a shard, such as net-00001-of-00002.kx.")
    if (int(match[1]), int(match[2])) != (number, count):
        raise FormatError(f"{source}: {shown(name)} stands in the place of shard {number} of {count}.")
