"""The walk over a TFLite sub-graph: every operator becomes ops of the language, and all that cannot is collected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kxchange.errors import Blocker, CaptureError, DimError, FormatError, KxchangeError, TypeInferenceError
from kxchange.graph import Value, emitting
from kxchange.known import Knowledge
from kxchange.types import DType
from kxchange_tensorflow import tflite_rules
from kxchange_tensorflow.lift import ABSENT, SCOPE, Absent, Entry, call, refuse
from kxchange_tensorflow.quantized import LIMITS, dequantize, quantize
from kxchange_tensorflow.tflite_file import Operator, SubGraph, Tensor, TFLiteFile

FAULTS = (CaptureError, TypeInferenceError, DimError, LookupError, ValueError, TypeError, ArithmeticError)
MAX_DEPTH = 32


class TFLiteLifter:
    """One lift of a file.

    Attributes:
        file: The file.
        constant: Makes the value of a tensor that the file holds.
        op: Name of the operator that is being lifted.
        operands: Its tensors, None for absent operands.
        results: The tensors that it gives.
    """

    def __init__(self, file: TFLiteFile, constant: Callable[[int, int], Value], knowledge: Knowledge) -> None:
        self.file = file
        self.constant = constant
        self.knowledge = knowledge
        self.places: dict[tuple[str, str], list[str]] = {}
        self.op = ""
        self.operands: Sequence[Tensor | None] = ()
        self.results: Sequence[Tensor] = ()
        self._depth = 0

    def run(self, index: int, inputs: Sequence[Value], outputs: Sequence[int] = ()) -> list[Any]:
        """What the outputs of a sub-graph stand for."""
        graph = self.file.subgraphs[index]
        values: dict[int, Any] = dict(zip(graph.inputs, inputs, strict=True))
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FormatError(f"sub-graphs of the TFLite file are nested more than {MAX_DEPTH} deep.")
        for operator in graph.operators:
            self._operator(index, graph, operator, values)
        self._depth -= 1
        return [self._value(index, graph, place, values) for place in outputs or graph.outputs]

    def blockers(self) -> list[Blocker]:
        """What could not be lifted."""
        return [Blocker(op, reason, tuple(places)) for (op, reason), places in self.places.items()]

    def _value(self, index: int, graph: SubGraph, place: int, values: dict[int, Any]) -> Any:
        if place not in values:
            tensor = graph.tensors[place]
            if tensor.is_variable:
                refuse(f"it reads {tensor.name!r}, which keeps its value from one run to the next")
            if tensor.data is None and 0 not in tensor.shape:
                raise FormatError(f"tensor {tensor.name!r} is read before anything gives it a value.")
            values[place] = self.constant(index, place)
        return values[place]

    def _operator(self, index: int, graph: SubGraph, operator: Operator, values: dict[int, Any]) -> None:
        results = [graph.tensors[place] for place in operator.outputs]
        name = next((tensor.name for tensor in results), operator.name)
        for place in operator.outputs:
            if place in values:
                raise FormatError(f"tensor {graph.tensors[place].name!r} is written twice.")
            values[place] = ABSENT
        try:
            if operator.custom:
                refuse("it is a custom operator, whose meaning is not in the file")
            entry = tflite_rules.lift.entries.get(operator.name)
            if entry is None:
                refuse("there is no lifting rule for it")
            operands = [None if place < 0 else self._value(index, graph, place, values) for place in operator.inputs]
            if any(isinstance(operand, Absent) for operand in operands):
                return
            self.operands = [None if place < 0 else graph.tensors[place] for place in operator.inputs]
            self.results, self.op = results, operator.name
            with emitting(name[:200]):
                found = self._apply(entry, operands, operator)
            for place, tensor, value in zip(operator.outputs, results, found, strict=True):
                _check_dtype(tensor, value)
                values[place] = value
        except FormatError:
            raise
        except FAULTS as error:
            reason = str(error) if isinstance(error, KxchangeError) else f"it is malformed ({error})"
            self.places.setdefault((operator.name, reason), []).append(name)

    def _apply(self, entry: Entry, operands: list[Any], operator: Operator) -> list[Value]:
        before = SCOPE.knowledge, SCOPE.count, SCOPE.lifter
        SCOPE.knowledge, SCOPE.count, SCOPE.lifter = self.knowledge, len(operator.outputs), self
        stored = operator.name in tflite_rules.STORED or self._passes_through(entry)
        try:
            if not stored:
                operands = [self._real(v, t) for v, t in zip(operands, self.operands, strict=True)]
            found = call(entry, operands, operator.options)
        finally:
            SCOPE.knowledge, SCOPE.count, SCOPE.lifter = before
        if len(found) < len(operator.outputs):
            refuse(f"it has {len(operator.outputs)} results, and {len(found)} are known")
        pairs = zip(found, self.results, strict=False)
        return [value if stored else store(value, tensor) for value, tensor in pairs]

    def _passes_through(self, entry: Entry) -> bool:
        """Whether elements are only moved between tensors that store numbers in the same way."""
        schemes = [t.quantization for t in (*self.operands, *self.results) if t is not None and is_stored(t)]
        return entry.moves and all(
            s is not None and s.per_tensor and s.scale == schemes[0].scale and s.zero_point == schemes[0].zero_point
            for s in schemes
            if schemes[0] is not None
        )

    def _real(self, value: Any, tensor: Tensor | None) -> Any:
        if tensor is None or not is_stored(tensor) or tensor.quantization is None:
            return value
        return dequantize(value, tensor.quantization)


def is_stored(tensor: Tensor) -> bool:
    """Whether the tensor's integers stand for real numbers."""
    return tensor.quantization is not None and tensor.dtype in LIMITS


def store(value: Value, tensor: Tensor) -> Value:
    """A real result as its tensor stores it."""
    if not is_stored(tensor) or tensor.quantization is None or not value.dtype.is_floating:
        return value
    dtype: Any = tensor.dtype
    return quantize(value, tensor.quantization, dtype)


def _check_dtype(tensor: Tensor, value: Value) -> None:
    wanted: DType | None = tensor.dtype
    if wanted is not value.dtype:
        refuse(f"it gives {tensor.name!r} as {value.dtype}, where the file says {tensor.kind}")
