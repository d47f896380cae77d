"""ONNX Runtime sessions over a model in memory, whatever its size."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from kxchange.errors import Blocker, BuildError, UnsupportedOpError
from kxchange.types import DType
from kxchange_onnx.packing import packed, packed_size, unpacked
from kxchange_onnx.weights import Place, external, large, message, skeleton

QUIET = 4
"""ONNX Runtime's log level for what ends the process; errors come as exceptions."""


def open_session(lowered: ir.Model, *, optimize: bool = True, threads: int | None = None, fed: bool = False) -> Session:
    """Compile an ONNX model.

    Args:
        lowered: The model; its large weights are handed over beside the message, and ONNX Runtime copies them once.
        fed: Make the large weights inputs that every run is given: slower to run, and nothing is copied.
        optimize: Whether ONNX Runtime may rewrite the graph.
        threads: Threads per node; ONNX Runtime's choice where None.

    Raises:
        UnsupportedOpError: ONNX Runtime has no CPU kernel for a node's types.
        BuildError: ONNX Runtime refuses the model for another reason.
    """
    options = ort.SessionOptions()
    options.log_severity_level = QUIET
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.use_deterministic_compute = True
    if threads is not None:
        options.intra_op_num_threads = threads
    tensors = {name: tensor for name, tensor in large(lowered).items() if fed or tensor.dtype.bitwidth >= 8}
    arrays = {name: np.asarray(tensor.numpy(), order="C") for name, tensor in tensors.items()}
    content, held = (skeleton(lowered).SerializeToString(), []) if fed else _detached(lowered, options, arrays)
    try:
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no public base class
        raise _translated(error, lowered) from error
    return Session(session, held, arrays if fed else {})


class Session:
    """A compiled model, and the arrays that its weights live in."""

    def __init__(
        self, session: ort.InferenceSession, held: list[Any], fed: Mapping[str, np.ndarray] = MappingProxyType({})
    ) -> None:
        self._session = session
        self._held = held
        self._fed = dict(fed)
        self._outputs = [output.name for output in session.get_outputs()]
        # Arrays would be copied on the way in, values by reference are not.
        self._plain = not fed and all(
            _is_plain(entry.type) for entry in (*session.get_inputs(), *session.get_outputs())
        )

    def run(self, feeds: dict[str, np.ndarray], dtypes: list[DType]) -> list[np.ndarray]:
        """Arrays by input name in, arrays in output order out."""
        feeds = {**feeds, **self._fed}
        if self._plain:
            return [np.asarray(array) for array in self._session.run(self._outputs, feeds)]
        values = {name: _ort_value(array) for name, array in feeds.items()}
        results = self._session.run_with_ort_values(self._outputs, values)
        return [_array(value, dtype) for value, dtype in zip(results, dtypes, strict=True)]


def _is_plain(type: str) -> bool:
    """Whether ONNX Runtime takes and gives NumPy arrays of a type such as ``tensor(float)``."""
    return not any(name in type for name in ("bfloat16", "float8", "float4", "int4", "int2"))


def _ort_value(array: np.ndarray) -> Any:
    if array.dtype.isbuiltin == 1:
        return ort.OrtValue.ortvalue_from_numpy(np.asarray(array, order="C"))
    element = int(ir.DataType.from_numpy(array.dtype))
    bits = np.asarray(array, order="C").view(f"u{array.dtype.itemsize}")
    if DType.of(array.dtype).bits < 8:  # the shape is that of the elements, of which a byte holds several
        held = np.zeros_like(bits)
        held.reshape(-1)[: packed_size(array.size, DType.of(array.dtype))] = packed(array)
        bits = held
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, element)


def _array(value: Any, dtype: DType) -> np.ndarray:
    """The array of a result; NumPy knows nothing of bfloat16 and its like, so the bytes are copied."""
    if dtype.numpy.isbuiltin == 1:
        return value.numpy()
    content = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    shape = tuple(value.shape())
    if dtype.bits < 8:
        return unpacked(np.frombuffer(content, np.uint8), math.prod(shape), dtype).reshape(shape)
    return np.frombuffer(content, dtype.numpy).reshape(shape)


def _detached(
    lowered: ir.Model, options: ort.SessionOptions, arrays: Mapping[str, np.ndarray]
) -> tuple[bytes, list[Any]]:
    """The message without its large weights, and those as values by reference."""
    values = [_ort_value(array) for array in arrays.values()]
    if values:
        options.add_external_initializers(list(arrays), values)
    with external(lowered, {name: Place("weights") for name in arrays}):
        return message(lowered).SerializeToString(), [arrays, values]


def _translated(error: Exception, lowered: ir.Model) -> UnsupportedOpError | BuildError:
    text = str(error)
    if "NOT_IMPLEMENTED" not in text:
        return BuildError(f"ONNX Runtime refuses the model: {text[:1000]}. Please report it.")
    blockers: dict[str, list[str]] = {}
    for node in lowered.graph.all_nodes():
        if f"{node.op_type}(" in text or f" {node.op_type} " in text:
            blockers.setdefault(node.op_type, []).append(str(node.name))
    reason = "ONNX Runtime has no CPU kernel for its element types"
    found = [Blocker(op_type, reason, tuple(places)) for op_type, places in blockers.items()]
    return UnsupportedOpError("onnxruntime", found or [Blocker("?", text[:300])])
