"""Keras 1: its names of classes and options as those of Keras 2, and its own layouts of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Options = Mapping[str, Any]

CLASSES = {
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "SeparableConvolution2D": "SeparableConv2D",
}
RENAMED = {
    "atrous_rate": "dilation_rate",
    "bias": "use_bias",
    "border_mode": "padding",
    "dim_ordering": "data_format",
    "filter_length": "kernel_size",
    "inner_activation": "recurrent_activation",
    "length": "size",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "pool_length": "pool_size",
    "sigma": "stddev",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
}
KEPT = {"Embedding": {"output_dim"}, "Merge": set[str]()}
"""Options that keep their names in a class."""
ORDERINGS = {"th": "channels_first", "tf": "channels_last"}

GATES = {"LSTMCell": "icfo", "GRUCell": "zrh"}
"""How Keras 1 stores gates: one kernel, one recurrent kernel and one bias each, in this order."""


def modern_class(name: str) -> str:
    """Keras 2's name of a class."""
    return CLASSES.get(name, name)


def modern_options(class_name: str, options: Options) -> dict[str, Any]:
    """Keras 2's names of a class's options."""
    kept = KEPT.get(class_name, set())
    found = {key if key in kept else RENAMED.get(key, key): value for key, value in options.items()}
    sides = [
        options[key] for key in ("kernel_dim1", "kernel_dim2", "kernel_dim3", "nb_row", "nb_col") if key in options
    ]
    if sides:
        found["kernel_size"] = sides
    if found.get("data_format") in ORDERINGS:
        found["data_format"] = ORDERINGS[found["data_format"]]
    if isinstance(found.get("kernel_size"), int):
        found["kernel_size"] = [found["kernel_size"]]
    return found


def gate_names(cell: str, *, biased: bool = True) -> list[str]:
    """Names of the variables of a cell, in Keras 1's order."""
    kinds = ("kernel", "recurrent_kernel", "bias") if biased else ("kernel", "recurrent_kernel")
    return [f"{kind}_{gate}" for gate in GATES[cell] for kind in kinds]


def joined(read: Callable[[str], Any], cell: str, kind: str, concat: Callable[..., Any]) -> Any:
    """The gates of one kind side by side, in the order of Keras 2: ``i f c o`` or ``z r h``."""
    order = "ifco" if cell == "LSTMCell" else "zrh"
    return concat(*(read(f"{kind}_{gate}") for gate in order), axis=-1)
