"""Random models over the whole op table: what hand-written samples of single ops do not try is how ops meet.

Each step takes a random sample of a random op and feeds it what earlier steps gave, brought to the sample's shape and
range, so that indices stay valid and logarithms defined. Who chooses is the caller: a seed, or hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.errors import KxchangeError
from kxchange.graph import Graph, Value, emitting, parameter, placeholder
from kxchange.model import Array, Function, Model, Parameter, Role
from kxchange.spec import REGISTRY
from kxchange.testing.sample import Operand, Sample
from kxchange.types import DType, TensorType

Choose = Callable[[int], int]
"""``choose(n)`` is a number from 0 to n - 1."""
FIXED = frozenset({"searchsorted", "inv"})
"""Ops whose operands are taken as they are: they must be sorted, or invertible."""
INPUT_SIZE = 24
"""Elements of every input."""


class RandomGraph:
    """A graph that grows by one op at a time.

    Attributes:
        values: What the ops so far gave, in order.
        used: Those among them that a later op took.
        applied: The samples applied.
    """

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._inputs: list[Value] = []
        self._parameters: list[Parameter] = []
        self.values: list[Value] = []
        self.used: set[Value] = set()
        self.applied: list[str] = []

    def grow(self, sample: Sample) -> bool:
        """Apply an op; False where it does not take the operands that were found."""
        arrays = sample.arrays(DType.FLOAT32)
        with emitting(f"{len(self.applied)}.{sample.op}"):
            operands = [
                None if operand is None or array is None else self._operand(operand, array, fixed=sample.op in FIXED)
                for operand, array in zip(sample.operands, arrays, strict=True)
            ]
            try:
                outputs = REGISTRY[sample.op].emit(operands, sample.attributes(floating=DType.FLOAT32)).outputs
            except KxchangeError:
                return False
        self.values += outputs
        self.applied.append(sample.id)
        return True

    def model(self) -> Model:
        """The model: its outputs are the values that no op took."""
        outputs = [value for value in self.values if value not in self.used]
        graph = Graph(tuple(self._inputs), tuple(outputs))
        read = {str(node.attrs["name"]) for node in graph.nodes() if node.op == "parameter"}
        entries = [entry for entry in self._parameters if entry.name in read]
        return Model({"main": Function(graph, tuple(f"y{n}" for n in range(len(outputs))))}, entries)

    def _operand(self, operand: Operand, array: Array, *, fixed: bool) -> Value:
        """An earlier value, a new input, or the sample's own numbers as a weight."""
        if fixed or operand.dtype is not None or array.size == 0 or not self._choose(4):
            return self._weight(array)
        earlier = [value for value in self.values if value.dtype is DType.FLOAT32 and count(value)]
        if earlier and self._choose(5):
            source = earlier[-1 - self._choose(min(len(earlier), 4))]
            self.used.add(source)
        else:
            source = self._input()
        return fit(source, array)

    def _input(self) -> Value:
        if len(self._inputs) >= 3:
            return self._inputs[self._choose(len(self._inputs))]
        value = placeholder(f"x{len(self._inputs)}", TensorType(DType.FLOAT32, (4, INPUT_SIZE // 4)))
        self._inputs.append(value)
        return value

    def _weight(self, array: Array) -> Value:
        name = f"w{len(self._parameters)}"
        role = Role.PARAMETER if array.dtype == np.float32 else Role.BUFFER
        self._parameters.append(Parameter(name, array, role=role))
        return parameter(name, self._parameters[-1].type)


def count(value: Value) -> int:
    """Elements of a value; 0 where a size is not a number."""
    sizes = [size for size in value.shape if isinstance(size, int)]
    return int(np.prod(sizes, dtype=np.int64)) if len(sizes) == len(value.shape) else 0


def fit(value: Value, like: Array) -> Value:
    """A value brought to the shape and range of an array, smoothly: repeated or cut, then through a sine."""
    flat = ops.reshape(value, shape=(count(value),))
    if like.size > count(value):
        flat = ops.tile(flat, repetitions=(-(-like.size // count(value)),))
    if like.size < count(flat):
        flat = ops.slice(flat, starts=(0,), stops=(like.size,), steps=(1,), axes=(0,))
    low, high = float(like.min()), float(like.max())
    return ops.add(ops.multiply(ops.sin(ops.reshape(flat, shape=like.shape)), (high - low) / 2), (high + low) / 2)


def random_model(choose: Choose, samples: Sequence[Sample], steps: int) -> tuple[Model, list[str]]:
    """A model of `steps` ops, and the names of the samples applied.

    Args:
        choose: Decides everything that is random.
        samples: To pick from.
        steps: How many ops to try.
    """
    by_op: dict[str, list[Sample]] = {}
    for sample in samples:
        by_op.setdefault(sample.op, []).append(sample)
    names = sorted(by_op)
    graph = RandomGraph(choose)
    for _ in range(steps):
        family = by_op[names[choose(len(names))]]
        graph.grow(family[choose(len(family))])
    if not graph.values:
        graph.grow(next(sample for sample in samples if sample.op == "tanh"))
    return graph.model(), graph.applied


def seeded(seed: int) -> Choose:
    """Choices from a seed."""
    rng = np.random.default_rng(seed)
    return lambda n: int(rng.integers(n))


def usable(sample: Sample, supports: Sequence[tuple[str, Callable[[Any], bool]]]) -> bool:
    """Whether every backend can express the sample in float32 at fixed sizes, and all its numbers are finite.

    Backends do not agree on what becomes of a NaN inside a kernel; single ops with special values have their own tests.

    Args:
        sample: Of any op.
        supports: Name and `supports` verb of each backend.
    """
    from kxchange.passes.legalize import legalize
    from kxchange.testing.backends import sample_model

    if DType.FLOAT32 not in sample.dtypes or not is_finite(sample):
        return False
    try:
        graph = sample_model(sample, DType.FLOAT32).main.graph
        for name, takes in supports:
            legalize(graph, takes, name)
    except KxchangeError:
        return False
    return True


def is_finite(sample: Sample) -> bool:
    """Whether neither the operands nor the results hold NaN or an infinity."""
    from kxchange.testing.conformance import reference_results

    arrays = [array for array in sample.arrays(DType.FLOAT32) if array is not None]
    try:
        arrays += reference_results(sample, DType.FLOAT32)
    except KxchangeError:
        return False
    return all(bool(np.all(np.isfinite(array.astype(np.complex128)))) for array in arrays)
