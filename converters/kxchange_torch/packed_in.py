"""Packed sequences while a model is traced: the same numbers by operators whose sizes can be symbolic.

torch packs by reading the lengths, which a trace cannot. Here the rows are taken by a mask, and what was padded goes
along with them, so that a layer between packing and padding runs on it as it is, with the lengths as an operand.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from kxchange_torch.private_recurrent import OVER_LENGTHS, replacing_packing


@dataclass(frozen=True, slots=True)
class Packing:
    """How a sequence was packed.

    Attributes:
        mask: [time, batch], true where a sequence goes on.
        lengths: [batch].
        steps: Numbers of the steps that the longest sequence has.
    """

    mask: torch.Tensor
    lengths: torch.Tensor
    steps: torch.Tensor


def packing_by_masks() -> AbstractContextManager[None]:
    """While active, packed sequences are traced as masks."""
    return replacing_packing(_pack, _pad, _run)


def _pack(x: torch.Tensor, lengths: torch.Tensor, batch_first: bool) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.transpose(0, 1) if batch_first else x
    mask = torch.arange(x.shape[0], device=x.device)[:, None] < lengths.to(x.device)[None, :]
    sizes = mask.sum(1)
    steps = (sizes > 0).nonzero().squeeze(1)
    torch._check(steps.shape[0] <= x.shape[0])
    return _rows(x, mask), _with(sizes.index_select(0, steps), Packing(mask, lengths, steps))


def _rows(padded: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What of the padded tensor is no padding, step by step; the padded tensor goes along."""
    return _with(padded[mask], padded)


def _with(tensor: torch.Tensor, memory: Any) -> torch.Tensor:
    setattr(tensor, "kx_packing", memory)  # noqa: B010 - torch declares no such attribute
    return tensor


def _packing(sizes: torch.Tensor) -> Packing:
    found = getattr(sizes, "kx_packing", None)
    if found is None:
        raise TypeError("a packed sequence that was not made by pack_padded_sequence has no traceable lengths")
    return found


def _padded(rows: torch.Tensor, packing: Packing) -> torch.Tensor:
    """The rows at their steps; what stands elsewhere has no meaning."""
    whole = getattr(rows, "kx_packing", None)
    if whole is not None:
        return whole
    blank = rows.new_zeros((*packing.mask.shape, *rows.shape[1:]))
    return blank.index_put(packing.mask.nonzero(as_tuple=True), rows)


def _pad(
    rows: torch.Tensor, sizes: torch.Tensor, batch_first: bool, value: float, total: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    packing = _packing(sizes)
    padded, mask = _padded(rows, packing), packing.mask
    mask = mask.reshape(*mask.shape, *(1,) * (padded.ndim - 2))
    padded = torch.where(mask, padded, value)
    if total is sizes.shape[0] or str(total) == str(sizes.shape[0]):
        padded = padded.index_select(0, packing.steps)
    elif str(total) != str(padded.shape[0]):
        rest = padded.new_full((total, *padded.shape[1:]), value)
        padded = torch.cat([padded, rest])[:total]
    return padded.transpose(0, 1) if batch_first else padded, packing.lengths


def _run(layer: Any, packed: PackedSequence, states: Any) -> tuple[PackedSequence, Any]:
    """A recurrent layer over the padded tensor, with the lengths beside it."""
    rows, sizes, order, back = packed
    packing = _packing(sizes)
    x = _padded(rows, packing)
    given = _zeros(layer, x) if states is None else layer.permute_hidden(states, order)
    layer._update_flat_weights()  # to what stands for the parameters in this trace
    options = (layer._flat_weights, layer.bias, layer.num_layers, layer.dropout, layer.training, layer.bidirectional)
    outputs, *last = OVER_LENGTHS[layer.mode](x, packing.lengths, given, *options)
    final = tuple(last) if isinstance(layer, nn.LSTM) else last[0]
    return PackedSequence(_rows(outputs, packing.mask), sizes, order, back), layer.permute_hidden(final, back)


def _zeros(layer: Any, x: torch.Tensor) -> Any:
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    hidden = x.new_zeros((count, x.shape[1], layer.proj_size or layer.hidden_size))
    return (hidden, x.new_zeros((count, x.shape[1], layer.hidden_size))) if isinstance(layer, nn.LSTM) else hidden
