"""Tensors on the wire: bytes and JSON to arrays, and back. Sizes are checked before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from kxchange.model import Array
from kxchange.serving.datatypes import BINARY_ONLY, PROTOCOL
from kxchange.serving.errors import BadRequestError
from kxchange.serving.limits import Limits
from kxchange.serving.signature import TensorSpec

ACCEPTED: dict[str, set[type]] = {"BOOL": {bool}, "FP32": {int, float}, "FP64": {int, float}}
"""Python types of JSON elements per datatype; integers where not named."""


def checked_shape(spec: TensorSpec, datatype: Any, shape: Any, limits: Limits) -> tuple[int, ...]:
    """The shape of an input, checked against the model.

    Raises:
        BadRequestError: The datatype or the shape is not one that the model takes.
    """
    if datatype != spec.datatype:
        known = datatype if isinstance(datatype, str) and datatype in PROTOCOL else "something else"
        raise BadRequestError(f"input {spec.name!r} has datatype {spec.datatype}, the request says {known}.")
    if not isinstance(shape, list | tuple) or len(cast("list[Any]", shape)) > limits.rank:
        raise BadRequestError(f"the shape of input {spec.name!r} is not a list of at most {limits.rank} sizes.")
    sizes = tuple(cast("list[Any]", shape))
    if any(type(size) is not int or size < 0 or size >= 2**63 for size in sizes):
        raise BadRequestError(f"the shape of input {spec.name!r} holds something that is not a size.")
    if len(sizes) != len(spec.shape) or any(w not in (-1, s) for w, s in zip(spec.shape, sizes, strict=True)):
        raise BadRequestError(f"input {spec.name!r} takes shape {list(spec.shape)}, the request has {list(sizes)}.")
    return sizes


def from_bytes(spec: TensorSpec, shape: tuple[int, ...], raw: memoryview | bytes) -> Array:
    """The array over the bytes of a tensor: little-endian, row-major. Not copied where aligned.

    Raises:
        BadRequestError: The number of bytes is not that of the shape, or a BOOL is neither 0 nor 1.
    """
    wanted = math.prod(shape) * spec.numpy.itemsize
    if wanted != len(raw):
        raise BadRequestError(
            f"input {spec.name!r} of datatype {spec.datatype} and shape {list(shape)} has {wanted} bytes, "
            f"the request has {len(raw)}."
        )
    if spec.datatype == "BOOL":
        flags = np.frombuffer(raw, np.uint8)
        if flags.size and flags.max() > 1:
            raise BadRequestError(f"input {spec.name!r} is BOOL and holds a byte that is neither 0 nor 1.")
        return flags.view(np.bool_).reshape(shape)
    array = np.frombuffer(raw, spec.numpy).reshape(shape)
    return array if array.flags.aligned else array.copy()


def from_json(spec: TensorSpec, shape: tuple[int, ...], data: Any) -> Array:
    """The array of JSON numbers, nested or flat.

    Raises:
        BadRequestError: The elements are not as many as the shape says, of another kind, or out of range.
    """
    if spec.datatype in BINARY_ONLY:
        raise BadRequestError(f"input {spec.name!r} is {spec.datatype}, which travels as binary data only.")
    flat = flattened(spec, shape, data)
    kinds = set(map(type, flat))
    if not kinds <= ACCEPTED.get(spec.datatype, {int}):
        raise BadRequestError(f"the data of input {spec.name!r} holds elements that are not {spec.datatype}.")
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, spec.numpy)
    except OverflowError:
        raise BadRequestError(f"the data of input {spec.name!r} is out of the range of {spec.datatype}.") from None
    if spec.dtype.is_floating and not np.isfinite(array).all():
        raise BadRequestError(f"the data of input {spec.name!r} is out of the range of {spec.datatype}.")
    return array.reshape(shape)


def flattened(spec: TensorSpec, shape: tuple[int, ...], data: Any) -> list[Any]:
    """The elements in row-major order; nesting, if any, must be that of the shape."""
    count = math.prod(shape)
    if not isinstance(data, list):
        raise BadRequestError(f"the data of input {spec.name!r} is not a list.")
    level = cast("list[Any]", data)
    for size in shape[1:] if level and isinstance(level[0], list) else ():
        if any(type(part) is not list or len(cast("list[Any]", part)) != size for part in level):
            raise BadRequestError(f"the data of input {spec.name!r} is not nested as its shape {list(shape)}.")
        level = [element for part in level for element in part]
        if not level or not isinstance(level[0], list):
            break
    if len(level) != count:
        raise BadRequestError(
            f"input {spec.name!r} of shape {list(shape)} has {count} elements, the data {len(level)}."
        )
    return level


def to_bytes(array: Array) -> memoryview:
    """The bytes of an output, little-endian and row-major; not copied where they lie so already."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def to_json(spec: TensorSpec, array: Array) -> Array:
    """The output as what `orjson` writes as a flat list.

    Raises:
        BadRequestError: JSON cannot hold it: NaN, infinities, FP16, BF16.
    """
    if spec.datatype in BINARY_ONLY:
        raise BadRequestError(f"output {spec.name!r} is {spec.datatype}: ask for it as binary_data.")
    if spec.dtype.is_floating and not np.isfinite(array).all():
        raise BadRequestError(
            f"output {spec.name!r} holds NaN or infinities, which JSON cannot write: ask for it as binary_data."
        )
    return np.ascontiguousarray(array).reshape(-1)


def rows(arrays: Sequence[Array]) -> int:
    """How many samples a request holds: the first size of its first input, 1 where that has no axes."""
    return arrays[0].shape[0] if arrays and arrays[0].ndim else 1
