"""Faults that converters are known for, each in a small network around one node called ``trap``.

`python -m validation.defects` from the folder of the tests prints the table of docs/coverage/defects.md.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from kxchange import ops
from kxchange.graph import Graph, Value, emitting, parameter, placeholder
from kxchange.model import Array, Function, Model, Parameter
from kxchange.types import DType, TensorType
from kxchange.validation.place import Place

Build = Callable[["Net", Value, bool], Value]
Catalogue = dict[str, tuple[tuple[int, ...], Build]]
DEFECTS: Catalogue = {}


class Net:
    """A network under construction: inputs, weights by name."""

    def __init__(self) -> None:
        self.parameters: list[Parameter] = []
        self.inputs: list[Value] = []
        self.rng = np.random.default_rng(0)

    def input(self, *shape: int, name: str = "x", dtype: DType = DType.FLOAT32) -> Value:
        self.inputs.append(placeholder(name, TensorType(dtype, shape)))
        return self.inputs[-1]

    def weight(self, *shape: int, change: Callable[[Array], Array] | None = None, array: Array | None = None) -> Value:
        data = self.rng.normal(size=shape).astype(np.float32) if array is None else array
        data = data if change is None else np.ascontiguousarray(change(data)).astype(data.dtype)
        self.parameters.append(Parameter(f"w{len(self.parameters)}", data))
        return parameter(self.parameters[-1].name, self.parameters[-1].type)


def defect(name: str, *shape: int, into: Catalogue = DEFECTS):
    """Register a network with an input of this shape; its builder is told whether to put the fault in."""

    def register(build: Build) -> Build:
        into[name] = (shape, build)
        return build

    return register


def network(name: str, *, faulty: bool, catalogue: Catalogue = DEFECTS) -> Model:
    """Some layers, the trap, some layers."""
    shape, build = catalogue[name]
    net = Net()
    hidden = ops.add(ops.multiply(net.input(*shape), 1.25), 0.125)
    out = build(net, hidden, faulty)
    size = int(np.prod([dim for dim in out.shape if isinstance(dim, int)]))
    flat = ops.reshape(ops.astype(out, dtype=DType.FLOAT32) if out.dtype is not DType.FLOAT32 else out, shape=(1, size))
    y = ops.linear(ops.tanh(flat), net.weight(16, size))
    graph = Graph(tuple(net.inputs), (ops.multiply(y, 0.5),))
    return Model({"main": Function(graph, ("y",))}, net.parameters)


def trap() -> AbstractContextManager[None]:
    return emitting("trap")


@defect("layer norm epsilon 1e-5 -> 1e-6", 4, 16)
def _(net, x, faulty):
    with trap():
        return ops.layer_norm(x, axes=1, epsilon=1e-6 if faulty else 1e-5)


@defect("layer norm epsilon 1e-12 -> 1e-10", 4, 16)
def _(net, x, faulty):
    with trap():
        return ops.layer_norm(x, axes=1, epsilon=1e-10 if faulty else 1e-12)


@defect("batch norm epsilon 1e-5 -> 1e-3", 2, 6, 4, 4)
def _(net, x, faulty):
    mean, variance = net.weight(6), net.weight(6, change=np.abs)
    with trap():
        return ops.batch_norm(x, mean, variance, epsilon=1e-3 if faulty else 1e-5)


@defect("batch norm over the wrong axis", 2, 4, 4, 4)
def _(net, x, faulty):
    mean, variance = net.weight(4), net.weight(4, change=np.abs)
    with trap():
        return ops.batch_norm(x, mean, variance, epsilon=1e-5, channel_axis=-1 if faulty else 1)


@defect("group norm with other groups", 2, 6, 4, 4)
def _(net, x, faulty):
    with trap():
        return ops.group_norm(x, groups=2 if faulty else 3, epsilon=1e-5)


@defect("rms norm for layer norm's variance", 4, 16)
def _(net, x, faulty):
    with trap():
        return ops.rms_norm(x, axes=1, epsilon=1e-6 if faulty else 1e-5)


@defect("gelu erf -> tanh", 4, 16)
def _(net, x, faulty):
    with trap():
        return ops.gelu(x, approximate="tanh" if faulty else "none")


@defect("leaky relu slope 0.01 -> 0.3", 4, 16)
def _(net, x, faulty):
    with trap():
        return ops.leaky_relu(x, negative_slope=0.3 if faulty else 0.01)


@defect("hard sigmoid 1/6 -> 0.2", 4, 16)
def _(net, x, faulty):
    with trap():
        return ops.hard_sigmoid(x, alpha=0.2 if faulty else 1 / 6)


@defect("softmax over the wrong axis", 4, 4)
def _(net, x, faulty):
    with trap():
        return ops.softmax(x, axis=0 if faulty else 1)


@defect("stride 2 padding (1, 1) -> SAME (0, 2)", 1, 3, 8, 8)
def _(net, x, faulty):
    pad = ((0, 2), (0, 2)) if faulty else ((1, 1), (1, 1))
    with trap():
        return ops.conv(x, net.weight(5, 3, 3, 3), strides=(2, 2), padding=pad, dilations=(1, 1))


@defect("max pool padding side", 1, 3, 8, 8)
def _(net, x, faulty):
    pad = ((0, 1), (0, 1)) if faulty else ((1, 0), (1, 0))
    with trap():
        return ops.max_pool(x, window=(3, 3), strides=(2, 2), padding=pad, dilations=(1, 1))


@defect("average pool counts its padding", 1, 3, 8, 8)
def _(net, x, faulty):
    pad = ((1, 1), (1, 1))
    with trap():
        return ops.avg_pool(x, window=(3, 3), strides=(2, 2), padding=pad, count_include_pad=faulty)


@defect("transposed convolution crops the other side", 1, 3, 5, 5)
def _(net, x, faulty):
    pad, extra = (((0, 1), (0, 1)) if faulty else ((1, 0), (1, 0))), (0, 0)
    with trap():
        return ops.conv_transpose(
            x, net.weight(3, 4, 3, 3), strides=(2, 2), padding=pad, output_padding=extra, dilations=(1, 1)
        )


@defect("convolution kernel mirrored", 1, 3, 8, 8)
def _(net, x, faulty):
    weight = net.weight(5, 3, 3, 3, change=(lambda w: w[:, :, ::-1, ::-1]) if faulty else None)
    with trap():
        return ops.conv(x, weight, strides=(1, 1), padding=((0, 0), (0, 0)), dilations=(1, 1))


@defect("channels of a grouped convolution shuffled", 1, 4, 6, 6)
def _(net, x, faulty):
    weight = net.weight(4, 2, 3, 3, change=(lambda w: w[[0, 2, 1, 3]]) if faulty else None)
    with trap():
        return ops.conv(x, weight, strides=(1, 1), padding=((0, 0), (0, 0)), dilations=(1, 1), groups=2)


@defect("square kernel not transposed", 4, 8)
def _(net, x, faulty):
    weight = net.weight(8, 8, change=np.transpose if faulty else None)
    with trap():
        return ops.linear(x, weight)


@defect("bias left out", 4, 8)
def _(net, x, faulty):
    weight, bias = net.weight(8, 8), net.weight(8, change=(lambda b: b * 0) if faulty else None)
    with trap():
        return ops.linear(x, weight, bias)


@defect("flattened in the other layout", 1, 4, 3, 3)
def _(net, x, faulty):
    with trap():
        order = ops.permute_dims(x, axes=(0, 3, 1, 2) if faulty else (0, 1, 2, 3))
    return ops.linear(ops.reshape(order, shape=(1, 36)), net.weight(7, 36))


@defect("lstm gates i and f swapped", 3, 5, 6)
def _(net, x, faulty):
    with trap():
        order = "figo" if faulty else "ifgo"
        return ops.lstm(x, net.weight(20, 6), net.weight(20, 5), net.weight(20), gate_order=order)[0]


@defect("lstm gate rows swapped in the weights", 3, 5, 6)
def _(net, x, faulty):
    swap = (lambda w: np.concatenate([w[5:10], w[:5], w[10:]])) if faulty else None
    with trap():
        return ops.lstm(x, net.weight(20, 6, change=swap), net.weight(20, 5), net.weight(20))[0]


@defect("gru resets before the product", 3, 5, 6)
def _(net, x, faulty):
    with trap():
        return ops.gru(x, net.weight(15, 6), net.weight(15, 5), net.weight(15), net.weight(15), reset_after=not faulty)[
            0
        ]


@defect("recurrence runs the other way", 3, 5, 6)
def _(net, x, faulty):
    with trap():
        return ops.lstm(x, net.weight(20, 6), net.weight(20, 5), net.weight(20), reverse=faulty)[0]


@defect("resize half pixel -> align corners", 1, 2, 4, 4)
def _(net, x, faulty):
    mode = "align_corners" if faulty else "half_pixel"
    with trap():
        return ops.resize(x, sizes=(7, 7), mode="linear", coordinate_mode=mode)


@defect("nearest resize rounds the other way", 1, 2, 4, 4)
def _(net, x, faulty):
    mode = "ceil" if faulty else "floor"
    with trap():
        return ops.resize(x, sizes=(7, 7), mode="nearest", nearest_mode=mode)


@defect("cubic coefficient -0.75 -> -0.5", 1, 2, 4, 4)
def _(net, x, faulty):
    with trap():
        return ops.resize(x, sizes=(7, 7), mode="cubic", cubic_coefficient=-0.5 if faulty else -0.75)


@defect("padding reflected with the edge", 2, 8)
def _(net, x, faulty):
    with trap():
        return ops.pad(x, padding=((0, 0), (2, 2)), mode="symmetric" if faulty else "reflect")


@defect("mask polarity", 4, 4)
def _(net, x, faulty):
    keep = ops.greater(x, 0.0)
    with trap():
        mask = ops.logical_not(keep) if faulty else ops.logical_and(keep, keep)
    return ops.where(mask, x, 0.0)


@defect("mask of -1e4 for -inf", 1, 2, 4, 8)
def _(net, x, faulty):
    with trap():
        low = ops.full(shape=(1, 1, 4, 4), value=-8.0 if faulty else float("-inf"), dtype=DType.FLOAT32)
    upper = np.triu(np.ones((1, 1, 4, 4), np.float32), 1) > 0
    mask = ops.where(net.weight(array=upper), low, 0.0)
    return ops.scaled_dot_product_attention(x, x, x, mask)


@defect("attention scale missing", 1, 2, 4, 8)
def _(net, x, faulty):
    with trap():
        return ops.scaled_dot_product_attention(x, x, x, scale=1.0 if faulty else None)


@defect("attention not causal", 1, 2, 4, 8)
def _(net, x, faulty):
    with trap():
        return ops.scaled_dot_product_attention(x, x, x, is_causal=not faulty)


@defect("heads swapped with their size", 1, 4, 16)
def _(net, x, faulty):
    with trap():
        heads = ops.permute_dims(ops.reshape(x, shape=(1, 4, 4, 4)), axes=(0, 3, 1, 2) if faulty else (0, 2, 1, 3))
    return ops.scaled_dot_product_attention(heads, heads, heads)


@defect("rotary halves for pairs", 1, 4, 2, 8)
def _(net, x, faulty):
    angle = np.outer(np.arange(1, 5), 10.0 ** -np.arange(8)).astype(np.float32)
    cos, sin = (net.weight(array=f(angle).reshape(1, 4, 1, 8)) for f in (np.cos, np.sin))
    with trap():
        return ops.rotary_embedding(x, cos, sin, interleaved=faulty)


@defect("integer division toward zero", 4, 8)
def _(net, x, faulty):
    whole = ops.astype(ops.multiply(x, 5.0), dtype=DType.INT32)
    with trap():
        return ops.truncated_divide(whole, 3) if faulty else ops.floor_divide(whole, 3)


@defect("remainder with the dividend's sign", 4, 8)
def _(net, x, faulty):
    with trap():
        return ops.fmod(x, 0.75) if faulty else ops.remainder(x, 0.75)


@defect("variance with n - 1", 4, 8)
def _(net, x, faulty):
    with trap():
        return ops.var(x, axis=(1,), correction=1.0 if faulty else 0.0)


@defect("cumulative sum exclusive", 4, 8)
def _(net, x, faulty):
    with trap():
        return ops.cumulative_sum(x, axis=1, exclusive=faulty)


@defect("relu6 as relu", 4, 8)
def _(net, x, faulty):
    wide = ops.multiply(x, 6.0)
    with trap():
        return ops.relu(wide) if faulty else ops.relu6(wide)


@defect("softplus threshold", 4, 8)
def _(net, x, faulty):
    with trap():
        return ops.softplus(x, threshold=1.0 if faulty else 20.0)


@defect("rounding halves away from even", 4, 8)
def _(net, x, faulty):
    halves = ops.multiply(ops.floor(ops.multiply(x, 4.0)), 0.5)
    with trap():
        return ops.floor(ops.add(halves, 0.5)) if faulty else ops.round(halves)


@defect("depth to space in the other order", 1, 8, 3, 3)
def _(net, x, faulty):
    with trap():
        return ops.depth_to_space(x, block_size=2, mode="CRD" if faulty else "DCR")


@defect("weights stored as float16", 4, 8)
def _(net, x, faulty):
    half = (lambda w: w.astype(np.float16)) if faulty else None
    with trap():
        return ops.linear(x, net.weight(8, 8, change=half))


@defect("weights times 1 + 1e-5", 4, 8)
def _(net, x, faulty):
    near = (lambda w: w * np.float32(1 + 1e-5)) if faulty else None
    with trap():
        return ops.linear(x, net.weight(8, 8, change=near))


@dataclass(frozen=True)
class Habit:
    """A usual way to compare two arrays: passes or not."""

    name: str
    accepts: Callable[[Array, Array], bool]


def relative_or_absolute(rtol: float, atol: float) -> Callable[[Array, Array], bool]:
    return lambda found, right: bool(np.all(np.abs(found - right) <= atol + rtol * np.abs(right)))


def torch_verify(found: Array, right: Array) -> bool:
    """As `torch.onnx.export(verify=True)` warns: it accepts NaN, since no comparison with it holds."""
    gap = np.abs(found - right)
    return not (np.max(gap) >= 5e-3 or np.max(gap / (np.abs(right) + 1e-7)) >= 1e-1)


HABITS = (
    Habit("torch verify", torch_verify),
    Habit("Polygraphy 1e-5", relative_or_absolute(1e-5, 1e-5)),
    Habit("assert_close", relative_or_absolute(1.3e-6, 1e-5)),
    Habit("1e-3 / 1e-5", relative_or_absolute(1e-3, 1e-5)),
)
CASES = 4


def measure(name: str, catalogue: Catalogue = DEFECTS) -> tuple[list[bool], str, str]:
    """Which habits accept the fault in float32, what kxchange says, and whether it names the place."""
    from kxchange.validation.against import validate_against
    from kxchange.validation.cases import make_cases

    right, wrong = (network(name, faulty=faulty, catalogue=catalogue) for faulty in (False, True))
    pairs = [
        (wrong(**case.inputs)["y"], right(**case.inputs)["y"]) for case in make_cases(right, count=CASES, seed=0)[:1]
    ]
    accepted = [all(habit.accepts(*pair) for pair in pairs) for habit in HABITS]
    row = validate_against(right, wrong, cases=CASES).rows[0]
    return accepted, row.verdict.value, naming(row.place)


def naming(place: Place | None) -> str:
    """Whether the place is the fault: by the node of the right model, or by one that only the other model has."""
    if place is not None and place.name == "trap":
        return "named"
    return "named there" if place is not None and place.other_name == "trap" else "not named"


def table(
    catalogue: Catalogue = DEFECTS, *, title: str = "Injected defects", by: str = "defects", note: str = ""
) -> str:
    """The page."""
    lines = [f"| defect | {' | '.join(habit.name for habit in HABITS)} | kxchange | place |"]
    lines += ["|---|" + "---|" * (len(HABITS) + 2)]
    missed = [0] * len(HABITS)
    for name in catalogue:
        accepted, verdict, place = measure(name, catalogue)
        missed = [count + was for count, was in zip(missed, accepted, strict=True)]
        words = ["**accepted**" if was else "found" for was in accepted]
        lines.append(f"| {name} | {' | '.join(words)} | {verdict} | {place} |")
    counts = ", ".join(f"{habit.name} {count}" for habit, count in zip(HABITS, missed, strict=True))
    intro = (
        f"# {title}\n\n<!-- Generated by tests/validation/{by}.py. Do not edit. -->\n\n"
        "Each fault stands in a small network; the habits compare its float32 outputs with the right ones on one seeded "
        "input, as their tools do. `kxchange` is the verdict of `validate_against`, `place` whether the faulty node was named "
        f"first (`named there`: as a node that only the faulty model has).\n\n{note}Of {len(catalogue)} faults the habits accept: {counts}.\n\n"
    )
    return intro + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
