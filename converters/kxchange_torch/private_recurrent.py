"""The private APIs of torch behind its recurrent layers and packed sequences; a test names each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._C import DispatchKey

LAYERS: dict[str, type[nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
"""Layers that take a packed sequence, each with a `forward` of its own."""
OVER_LENGTHS: dict[str, Any] = {
    "LSTM": torch.ops.aten.lstm.data,
    "GRU": torch.ops.aten.gru.data,
    "RNN_TANH": torch.ops.aten.rnn_tanh.data,
    "RNN_RELU": torch.ops.aten.rnn_relu.data,
}
"""Operators over sequences of several lengths, by a layer's mode."""


@contextmanager
def keeping_recurrent_layers() -> Iterator[None]:
    """Trace LSTM, GRU and RNN layers by their shapes alone, where torch would unroll them over the sequence.

    The unrolled steps never enter the graph, but they fix the length of the sequence and take long.
    """
    plain = (torch.ops.aten.gru.input, torch.ops.aten.rnn_tanh.input, torch.ops.aten.rnn_relu.input)
    shapes: dict[Any, Any] = dict.fromkeys(plain, lambda x, state, *options: _shapes(x, (state,), options[5]))
    shapes[torch.ops.aten.lstm.input] = lambda x, states, *options: _shapes(x, states, options[5])
    for overload in OVER_LENGTHS.values():
        shapes[overload] = lambda x, _, state, *options: _shapes(x, (state,), options[5])
    shapes[OVER_LENGTHS["LSTM"]] = lambda x, _, states, *options: _shapes(x, states, options[5])
    with _by_shapes({overload: dict.fromkeys(overload.py_kernels, kernel) for overload, kernel in shapes.items()}):
        yield


@contextmanager
def keeping_symbolic_picks() -> Iterator[None]:
    """Trace operators by their shapes whose kernels read symbolic sizes as numbers, and so would fix them."""
    along = {DispatchKey.CompositeImplicitAutograd: _shape_along}
    bucket = {DispatchKey.Meta: _shape_of_buckets}
    with _by_shapes({torch.ops.aten.take_along_dim.default: along, torch.ops.aten.bucketize.Tensor: bucket}):
        yield


def _shape_along(x: Any, indices: Any, dim: int | None = None) -> Any:
    if dim is None:
        return x.new_empty((indices.numel(),))
    axis = dim % x.ndim
    index = [0 if a == axis else slice(None) for a in range(x.ndim)]
    rest = list(torch.broadcast_shapes(x[tuple(index)].shape, indices[tuple(index)].shape))
    return x.new_empty((*rest[:axis], indices.shape[axis], *rest[axis:]))


def _shape_of_buckets(x: Any, _boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    return x.new_empty(x.shape, dtype=torch.int32 if out_int32 else torch.int64)


@contextmanager
def _by_shapes(kernels: dict[Any, dict[Any, Any]]) -> Iterator[None]:
    saved = [(overload, dict(overload.py_kernels)) for overload in kernels]
    for overload, found in kernels.items():
        overload.py_kernels.update(found)
        overload._dispatch_cache.clear()
    try:
        yield
    finally:
        for overload, kernels in saved:
            overload.py_kernels.clear()
            overload.py_kernels.update(kernels)
            overload._dispatch_cache.clear()


def _shapes(x: Any, states: Any, bidirectional: bool) -> tuple[Any, ...]:
    outputs = x.new_empty((*x.shape[:2], (2 if bidirectional else 1) * states[0].shape[-1]))
    return (outputs, *(state.new_empty(state.shape) for state in states))


@contextmanager
def replacing_packing(pack: Any, pad: Any, run: Any) -> Iterator[None]:
    """Let packed sequences be made, undone and run through a layer by other functions.

    Args:
        pack: ``(padded, lengths, batch_first) -> (rows, batch sizes)``.
        pad: ``(rows, batch sizes, batch_first, value, total length) -> (padded, lengths)``.
        run: ``(layer, packed sequence, states) -> (packed sequence, states)``.
    """
    functions: Any = torch._VF
    forwards = [(kind, kind.forward) for kind in LAYERS.values()]
    functions._pack_padded_sequence, functions._pad_packed_sequence = pack, pad
    for kind, forward in forwards:
        setattr(kind, "forward", _choosing(run, forward))  # noqa: B010 - a type checker knows forward as no attribute
    try:
        yield
    finally:
        del functions._pack_padded_sequence, functions._pad_packed_sequence
        for kind, forward in forwards:
            setattr(kind, "forward", forward)  # noqa: B010


def _choosing(run: Any, otherwise: Any) -> Any:
    def forward(self: Any, input: Any, hx: Any = None) -> Any:
        if isinstance(input, nn.utils.rnn.PackedSequence):
            return run(self, input, hx)
        return otherwise(self, input, hx)

    return forward
