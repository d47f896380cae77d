"""One model version that answers requests."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kxchange.errors import InputError, MismatchError
from kxchange.format.model_file import load_model
from kxchange.inputs import InputBinder
from kxchange.model import Array, Model
from kxchange.serving.batching import Batcher, batch_symbol, prove_batching
from kxchange.serving.errors import BadRequestError
from kxchange.serving.execution import Executor, measured
from kxchange.serving.limits import Limits
from kxchange.serving.prepared import Prepared, file_digest
from kxchange.serving.selftest import SelfTest, self_test
from kxchange.serving.session import OrtSession
from kxchange.serving.signature import Signature
from kxchange.serving.statistics import Statistics, Timing
from kxchange.serving.tensors import rows
from kxchange.validation.verdict import Verdict

SHAPES_KEPT = 1024
"""Combinations of input shapes remembered as fitting the model's constraints."""
PLATFORM = "onnxruntime_onnx"
"""The protocol's name for what runs the model, as Triton calls it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How models are run.

    Attributes:
        limits: What a request may ask for.
        threads: Threads per node; the runtime's choice where None.
        workers: Runs of one model at the same time.
        max_batch: Samples that requests may be joined to; 0: never joined.
        max_delay_us: Microseconds to wait for more of them.
        self_test: Whether a model must prove itself before it is ready.
    """

    limits: Limits = field(default_factory=Limits)
    threads: int | None = None
    workers: int = 1
    max_batch: int = 0
    max_delay_us: int = 0
    self_test: bool = True


@dataclass(slots=True)
class InferenceRequest:
    """One request, decoded.

    Attributes:
        inputs: Arrays by name, each checked against its spec.
        outputs: Names wanted, in order; empty: all.
        deadline: In the clock of `time.perf_counter`.
        timing: Begun when the request arrived.
    """

    inputs: dict[str, Array]
    outputs: list[str]
    deadline: float
    timing: Timing


class ServedModel:
    """A loaded, proven model.

    Attributes:
        name: As in the addresses.
        version: A number in text.
        signature: Inputs and outputs.
        statistics: What happened so far.
        proof: The self-test; None where it was turned off.
        batching: Whether requests are joined; otherwise why not.
        admit: Refuses a request where the queue is full, before it is read.
        plans: What the REST side remembers of requests that fit.
    """

    def __init__(self, name: str, version: str, model: Model, session: OrtSession, options: Options) -> None:
        self.name = name
        self.version = version
        self.model = model
        self.options = options
        self.signature = Signature.of(model.main)
        self.statistics = Statistics()
        self._bind = InputBinder(model)
        self.plans: dict[bytes, Any] = {}
        self._known: set[tuple[tuple[int, ...], ...]] = set()
        self._output_names = list(self.signature.outputs)
        self.proof = self._prove(session)
        seconds = self._measure(session)
        self.executor = Executor(
            session, self.statistics, queue=options.limits.queue, workers=options.workers, seconds=seconds
        )
        self.batcher, self.batching = self._batcher(session)
        self.admit = self.executor.admit if self.batcher is None else self.batcher.admit

    @classmethod
    def load(cls, name: str, version: str, files: Prepared, options: Options) -> ServedModel:
        """Read, check, compile and prove a model.

        Raises:
            FormatError: The file's hashes are not those of its bytes.
            MismatchError: What would be served is not what was recorded, or does not compute the model.
            BuildError: The runtime refuses the file.
        """
        model = load_model(files.kx, verify=True)
        if files.digest is not None and file_digest(files.onnx) != files.digest:
            raise MismatchError(
                f"{name}: the bytes of {files.onnx.name} are not those that were recorded when it was written. "
                "Write it again from the model."
            )
        signature = Signature.of(model.main)
        return cls(name, version, model, OrtSession(files.onnx, signature, threads=options.threads), options)

    def _prove(self, session: OrtSession) -> SelfTest | None:
        if not self.options.self_test:
            return None
        proof = self_test(self.model, lambda arrays: session.run(arrays, self._output_names))
        if proof.verdict is not Verdict.SAME:
            raise MismatchError(
                f"{self.name} is not ready: its self-test is {proof.verdict.value} ({proof.reason}). "
                "Convert it again, or find the cause with kx validate."
            )
        return proof

    def _measure(self, session: OrtSession) -> float:
        if self.proof is None or not self.proof.examples:
            return float("inf")
        smallest = min(self.proof.examples, key=lambda arrays: sum(array.nbytes for array in arrays))
        return measured(lambda: session.run(smallest, self._output_names))

    def _batcher(self, session: OrtSession) -> tuple[Batcher | None, str]:
        if self.options.max_batch <= 1:
            return None, "off"
        symbol = batch_symbol(self.model)
        if symbol is None:
            return None, "its inputs and outputs have no batch axis of their own"
        reason = prove_batching(self.model, symbol, lambda arrays: session.run(arrays, self._output_names))
        if reason:
            return None, reason
        batcher = Batcher(self.executor, self._output_names, self.options.max_batch, self.options.max_delay_us)
        return batcher, "on"

    def bind(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The inputs in order, their sizes checked against each other and the model's constraints.

        Raises:
            BadRequestError: A name is missing or unknown, or the sizes do not fit.
        """
        try:
            arrays = [inputs[name] for name in self.signature.inputs]
        except KeyError:
            arrays = []
        shapes = tuple([array.shape for array in arrays])
        if shapes in self._known and len(inputs) == len(arrays):
            return arrays
        try:
            arrays, _ = self._bind(inputs)
        except InputError as error:
            raise BadRequestError(str(error)) from error
        if len(self._known) < SHAPES_KEPT:
            self._known.add(shapes)
        return arrays

    async def infer(self, request: InferenceRequest) -> dict[str, Array]:
        """The outputs asked for, by name.

        Raises:
            ServingError: In one of its forms.
        """
        arrays = self.bind(request.inputs)
        wanted = request.outputs or self._output_names
        request.timing.prepare = time.perf_counter_ns() - request.timing.start
        count = rows(arrays)
        if self.batcher is not None and self.batcher.takes(arrays):
            results = await self.batcher.run(arrays, wanted, request.timing, request.deadline)
        else:
            results = await self.executor.run(arrays, wanted, count, request.timing, request.deadline)
        return dict(zip(wanted, results, strict=True))

    def check_outputs(self, names: Sequence[str]) -> None:
        """Refuse outputs that the model does not have, or that are asked for twice."""
        unknown = [name for name in names if name not in self.signature.outputs]
        if unknown:
            raise BadRequestError(f"{self.name} has no output {unknown[0][:100]!r}; it has {self._output_names}.")
        if len(set(names)) != len(names):
            raise BadRequestError("an output is asked for twice.")

    def metadata(self, versions: Sequence[str]) -> dict[str, Any]:
        """As in the protocol."""
        return {
            "name": self.name,
            "versions": list(versions),
            "platform": PLATFORM,
            "inputs": [spec.to_json() for spec in self.signature.inputs.values()],
            "outputs": [spec.to_json() for spec in self.signature.outputs.values()],
        }

    @property
    def parameter_bytes(self) -> int:
        """Size of the weights."""
        return sum(entry.nbytes for entry in self.model.parameters.values() if entry.alias_of is None)

    def close(self) -> None:
        """Stop taking work."""
        self.executor.close()
