"""Raw tensors of a `.pt2` archive, mapped from the file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from kxchange.errors import FormatError, LimitError
from kxchange_torch.pt2_archive import Pt2Archive

DTYPES: dict[int, torch.dtype] = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    9: torch.complex32,
    10: torch.complex64,
    11: torch.complex128,
    12: torch.bool,
    13: torch.bfloat16,
    28: torch.uint16,
    29: torch.float8_e4m3fn,
    30: torch.float8_e5m2,
    31: torch.float8_e4m3fnuz,
    32: torch.float8_e5m2fnuz,
    33: torch.float8_e8m0fnu,
    34: torch.uint32,
    35: torch.uint64,
}
"""Element types by their number in the schema."""
STRIDED = 7
MAX_RANK = 32
MAX_SPREAD = 2**26
"""Elements that a tensor may have beyond those stored, by strides of 0."""
NAME = re.compile(r"[\w\-/:@+]+(?:\.[\w\-/:@+]+)*")
"""Names that torch may write into source text between quotes: none that could end them."""


def checked_name(name: Any, what: str) -> str:
    """A name from the file.

    Raises:
        FormatError: It has characters that no module path has.
    """
    if not isinstance(name, str) or len(name) > 512 or not NAME.fullmatch(name):
        raise FormatError(f"the {what} name {str(name)[:80]!r} is none that a PyTorch module can have.")
    return name


class Pt2Tensors:
    """Reads the tensors of one config file (`weights` or `constants`); same bytes give the same object."""

    def __init__(self, archive: Pt2Archive) -> None:
        self.archive = archive
        self._known: dict[Any, torch.Tensor] = {}

    def read(self, folder: str, config: str) -> dict[str, torch.Tensor]:
        """Every tensor of a config, by name.

        Raises:
            FormatError: A payload is pickled, missing, or shorter than its tensor.
        """
        entries = self.archive.json(f"{folder}{config}").get("config")
        if not isinstance(entries, Mapping):
            raise FormatError(f"{self.archive.path.name}: {folder}{config} has no 'config'.")
        return {checked_name(name, "tensor"): self._tensor(folder, name, entry) for name, entry in entries.items()}

    def _tensor(self, folder: str, name: str, entry: Mapping[str, Any]) -> torch.Tensor:
        if entry.get("use_pickle") is not False or not isinstance(entry.get("tensor_meta"), Mapping):
            raise FormatError(
                f"{self.archive.path.name}: the tensor {name!r} is stored as a pickle, which kxchange never reads. "
                "Save it as a plain torch.Tensor."
            )
        meta = entry["tensor_meta"]
        sizes, strides = (tuple(map(_number, meta[key])) for key in ("sizes", "strides"))
        offset, dtype = _number(meta["storage_offset"]), DTYPES.get(meta["dtype"])
        if dtype is None or meta["layout"] != STRIDED or len(sizes) != len(strides) or len(sizes) > MAX_RANK:
            raise FormatError(f"{self.archive.path.name}: the tensor {name!r} is not a strided one of a known type.")
        path = f"{folder}{entry['path_name']}"
        key = path, sizes, strides, offset, dtype
        if key not in self._known:
            tensor = self._view(path, name, sizes, strides, offset, dtype)
            if entry.get("is_param") is True:
                grad = meta["requires_grad"] is True and (dtype.is_floating_point or dtype.is_complex)
                tensor = torch.nn.Parameter(tensor, requires_grad=grad)
            self._known[key] = tensor
        return self._known[key]

    def _view(
        self, path: str, name: str, sizes: Sequence[int], strides: Sequence[int], offset: int, dtype: torch.dtype
    ) -> torch.Tensor:
        begin, length = self.archive.place(path)
        stored, count = length // dtype.itemsize, math.prod(sizes)
        if count == 0:
            return torch.empty(tuple(sizes), dtype=dtype)
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if last >= stored:
            raise FormatError(f"{self.archive.path.name}: the tensor {name!r} reaches beyond its {length:,} bytes.")
        if count > stored + MAX_SPREAD:
            raise LimitError(
                f"{self.archive.path.name}: the tensor {name!r} has {count:,} elements, {stored:,} stored."
            )
        whole = torch.frombuffer(self.archive.memory, dtype=torch.uint8, count=stored * dtype.itemsize, offset=begin)
        if begin % dtype.itemsize:
            whole = whole.clone()
        return whole.view(dtype).as_strided(tuple(sizes), tuple(strides), offset)


def _number(size: Any) -> int:
    value = size.get("as_int") if isinstance(size, Mapping) else None
    if type(value) is not int or not 0 <= value < 2**48:
        raise FormatError(f"a stored tensor has the size, stride or offset {str(size)[:80]}, which is no plain number.")
    return value
