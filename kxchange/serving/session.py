"""An ONNX file in ONNX Runtime, as the server calls it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kxchange.errors import BuildError
from kxchange.model import Array
from kxchange.serving.errors import DeadlineError, FailedError
from kxchange.serving.signature import Signature

QUIET = 4
"""ONNX Runtime's log level for what ends the process; errors come as exceptions."""
BFLOAT16 = 16
"""ONNX's number of the one type of the protocol that NumPy does not have."""


class OrtSession:
    """One compiled model; safe to call from several threads.

    Args:
        path: The `.onnx` file.
        signature: Its inputs and outputs.
        threads: Threads per node.

    Raises:
        BuildError: ONNX Runtime refuses the file, or it is not that of the signature.
    """

    def __init__(self, path: Path, signature: Signature, *, threads: int | None = None) -> None:
        from importlib import import_module

        ort: Any = import_module("onnxruntime")  # it has no types

        options: Any = ort.SessionOptions()
        options.log_severity_level = QUIET
        options.use_deterministic_compute = True
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no public base class
            raise BuildError(f"ONNX Runtime refuses {path.name}: {str(error)[:1000]}") from error
        self._ort = ort
        self._inputs = list(signature.inputs)
        self._check(path, signature)
        specs = [*signature.inputs.values(), *signature.outputs.values()]
        self._plain = all(spec.datatype != "BF16" for spec in specs)
        self._numpy = {spec.name: spec.numpy for spec in signature.outputs.values()}

    def _check(self, path: Path, signature: Signature) -> None:
        inputs = {entry.name for entry in self._session.get_inputs()}
        outputs = {entry.name for entry in self._session.get_outputs()}
        if inputs != set(signature.inputs) or not set(signature.outputs) <= outputs:
            raise BuildError(
                f"{path.name} has inputs {sorted(inputs)} and outputs {sorted(outputs)}, the model "
                f"{list(signature.inputs)} and {list(signature.outputs)}."
            )

    def options(self) -> Any:
        """Options of one run, whose `terminate` ends it from another thread."""
        return self._ort.RunOptions()

    def run(self, arrays: Sequence[Array], outputs: Sequence[str], options: Any = None) -> list[Array]:
        """The named outputs for the inputs in order.

        Raises:
            FailedError: ONNX Runtime failed on them.
            DeadlineError: The run was ended through its options.
        """
        feeds = dict(zip(self._inputs, arrays, strict=True))
        try:
            if self._plain:
                return self._session.run(outputs, feeds, options)
            values = {name: self._value(array) for name, array in feeds.items()}
            results = self._session.run_with_ort_values(outputs, values, options)
        except Exception as error:
            if options is not None and options.terminate:
                raise DeadlineError("the deadline passed while the model ran.") from error
            raise FailedError("the model failed on these inputs. The server's log says why.") from error
        return [self._array(value, self._numpy[name]) for name, value in zip(outputs, results, strict=True)]

    def _value(self, array: Array) -> Any:
        if array.dtype.isbuiltin == 1:
            return self._ort.OrtValue.ortvalue_from_numpy(np.asarray(array, order="C"))
        bits = np.asarray(array, order="C").view(np.uint16)
        return self._ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, BFLOAT16)

    @staticmethod
    def _array(value: Any, dtype: np.dtype[Any]) -> Array:
        if dtype.isbuiltin == 1:
            return value.numpy()
        content = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
        return np.frombuffer(content, dtype).reshape(value.shape())
