"""`.npz` archives of arrays: inputs and samples that a user hands over. Nothing in them is unpickled."""

from __future__ import annotations

import math
import zipfile
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np

from kxchange.errors import InputError, KxchangeError
from kxchange.format.names import shown
from kxchange.model import Array

SUFFIX = ".npy"
EXPANSION = 1100
"""How many times its stored bytes an array may hold; deflate gives up to 1032 ..."""
FREE_BYTES = 2**26
"""... once it is larger than this."""


def read_arrays(path: str | PathLike[str]) -> dict[str, Array]:
    """The arrays of an `.npz` by name.

    Raises:
        InputError: It is no such archive, is damaged, holds Python objects, or declares more than it stores.
    """
    name = Path(path).name
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(SUFFIX): info for info in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise InputError("two of its arrays have one name.")
            return {key: _array(archive, info) for key, info in members.items()}
    except KxchangeError as error:
        raise InputError(f"cannot read {name!r}: {error}") from None
    except Exception as error:  # zipfile, zlib and NumPy each raise what they like
        problem = shown(str(error)) or type(error).__name__
        raise InputError(
            f"cannot read {name!r}: {problem}. Write it with numpy.savez, without object arrays."
        ) from error


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as stream:
        declared = _declared(stream, info.filename)
    if declared > info.file_size or (declared > FREE_BYTES and declared > EXPANSION * info.compress_size):
        raise InputError(f"{shown(info.filename)} declares {declared:,} bytes and stores {info.compress_size:,}.")
    with archive.open(info) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _declared(stream: IO[bytes], name: str) -> int:
    """Bytes that an array takes, as its header says."""
    version = np.lib.format.read_magic(stream)
    header: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    if dtype.hasobject or dtype.names:
        raise InputError(f"{shown(name)} holds {dtype}, not numbers; Python objects are pickles and are never read.")
    return math.prod(shape) * dtype.itemsize
