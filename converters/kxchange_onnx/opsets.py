"""Which opsets can be written, and the one that is being written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import onnx

from kxchange.errors import BuildError
from kxchange.graph import Node
from kxchange.table import Condition
from kxchange_onnx.private import kernel_versions, runtime_opset

OPS = ("Add", "Attention", "Conv", "Gelu", "LayerNormalization", "LSTM", "MatMul", "Pad", "QuantizeLinear", "Softmax")
"""Ops whose kernels decide: those that most of the time of a model goes into."""
OLDEST = 13
"""The first opset in which reductions of sums, squeeze, unsqueeze and split take their axes and sizes as inputs."""

TARGET: ContextVar[int] = ContextVar("TARGET")
"""The opset that rules and their conditions write for."""


OPEN_END = 2**31 - 1


@cache
def latest() -> int:
    """The newest opset that both the installed onnx and the installed ONNX Runtime know."""
    return min(onnx.defs.onnx_opset_version(), runtime_opset())


@cache
def newest() -> int:
    """The newest opset in which ONNX Runtime has its own kernel for every op that it has one for in some opset.

    An op that a newer opset changes runs without it as a function of smaller ops, if it has one: ONNX Runtime 1.32
    knows opset 28, but its attention kernel ends with opset 24, and what stands in for it takes twice the time.
    """
    return next((opset for opset in range(latest(), OLDEST, -1) if _has_all_kernels(opset)), latest())


def _has_all_kernels(opset: int) -> bool:
    return all(_has_kernel(op_type, opset) for op_type in OPS)


def _has_kernel(op_type: str, opset: int) -> bool:
    versions = kernel_versions().get(op_type, [])
    try:
        version = onnx.defs.get_schema(op_type, opset).since_version
    except onnx.defs.SchemaError:
        return True
    # A kernel without a last version is one for its first version: a later one may mean something else.
    return not versions or any(a == version or (b != OPEN_END and a <= version <= b) for a, b in versions)


def checked(opset: int | None) -> int:
    """The opset asked for, or the newest that runs well.

    Raises:
        BuildError: It is not one that can be written.
    """
    if opset is None:
        return newest()
    if not OLDEST <= opset <= onnx.defs.onnx_opset_version():
        raise BuildError(
            f"onnx cannot write opset {opset}: it writes {OLDEST} to {onnx.defs.onnx_opset_version()} "
            f"(the newest of onnx {onnx.__version__}). Choose one of those."
        )
    return opset


def ir_version(opset: int) -> int:
    """The oldest file version that may hold the opset, so that the oldest reader that can run the model opens it."""
    return onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])


@contextmanager
def targeting(opset: int) -> Iterator[None]:
    """Write for `opset` inside the block."""
    token = TARGET.set(opset)
    try:
        yield
    finally:
        TARGET.reset(token)


def target() -> int:
    """The opset that is being written."""
    return TARGET.get(None) or newest()


def since(version: int, condition: Callable[[Node], bool] | None = None) -> Condition:
    """The condition that the opset written is `version` or newer, and `condition` holds."""
    return lambda node: target() >= version and (condition is None or condition(node))
