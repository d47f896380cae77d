"""Every size limit of the `.kx` format, version 1, in one place.

A file beyond one of these is refused with the number in the message. All bounds are inclusive unless the name says
`BELOW`.
"""

from __future__ import annotations

from typing import Final

from kxchange.errors import LimitError

# The container
MAX_HEADER_BYTES: Final = 25_000_000
"""Length of the header; the Hugging Face hub client refuses more."""
MAX_HEADER_STRUCTURAL_BYTES: Final = 5_200_000
"""`[`, `{` and `,` in a header: those of a full architecture document and 16 for each tensor."""
MAX_TENSORS: Final = 200_000
FILE_SIZE_BELOW: Final = 2**63
HEADER_ALIGNMENT: Final = 4096
"""The data section starts at a multiple of this: a page, so that 64-byte aligned tensors stay so when mapped."""
TENSOR_ALIGNMENT: Final = 64
"""What JAX and TensorFlow need to take memory without a copy; TensorFlow aborts the process on less."""

# The architecture document
MAX_DOCUMENT_BYTES: Final = 16 * 2**20
MAX_DOCUMENT_DEPTH: Final = 64
MAX_STRUCTURAL_BYTES: Final = 2_000_000
"""`[`, `{` and `,` in one JSON document, counted before it is parsed."""
MAX_JSON_INTEGER: Final = 2**53
"""Largest magnitude of a JSON number: what every JSON reader represents exactly."""

# The model
MAX_NODES: Final = 1_000_000
MAX_EXPANDED_CALLS: Final = 4_000_000
MAX_FUNCTIONS: Final = 10_000
MAX_RANK: Final = 32
DIM_BELOW: Final = 2**48
ELEMENTS_BELOW: Final = 2**62
"""Product of the dims, zeros counted as ones."""
MAX_NAME_BYTES: Final = 512
MAX_STRING_BYTES: Final = 64 * 2**10
"""Length of a string attribute in UTF-8."""
MAX_LIST_LENGTH: Final = 65_536
"""Length of a list attribute."""
MAX_INLINE_ELEMENTS: Final = 16
"""Constants with more elements are tensors, never JSON."""
MAX_SHARDS: Final = 10_000
MAX_INDEX_BYTES: Final = 25_000_000

# Writing
STALE_TEMPORARY_SECONDS: Final = 3600
"""A temporary file of ours untouched for longer was left by a killed process."""


def check_limit(value: int, limit: int, what: str) -> None:
    """Refuse a value above its limit.

    Args:
        value: The number found.
        limit: The largest number allowed.
        what: Subject and unit, such as `"net.kx: header bytes"`.

    Raises:
        LimitError: `value` is above `limit`.
    """
    if value > limit:
        raise LimitError(f"{what}: {value:,} is above the limit of {limit:,}.")
