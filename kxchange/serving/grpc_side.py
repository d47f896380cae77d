"""The gRPC side of the protocol: `GRPCInferenceService` over the same models and the same checks."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

import numpy as np

from kxchange.serving.app import State, control, statistics
from kxchange.serving.errors import BadRequestError, NotFoundError, ServingError, UnauthorizedError
from kxchange.serving.limits import Limits
from kxchange.serving.repository import checked_version
from kxchange.serving.rest_codec import REFUSED, allowed_seconds
from kxchange.serving.served import InferenceRequest, ServedModel
from kxchange.serving.statistics import Timing
from kxchange.serving.tensors import checked_shape, from_bytes, to_bytes
from kxchange.serving.triton_config import config_of
from kxchange.serving.wire_schema import METHODS, PACKAGE, messages

CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents",
}  # fmt: skip
"""The typed field of each datatype; FP16 and BF16 have none and travel raw."""
OPEN = ("ServerLive", "ServerReady")
"""Calls that need no token, so that probes work."""
FRAME = 64 * 1024
"""Bytes that a message may have beside its tensors."""
Handler = Callable[[Any, float], Awaitable[Any]]


async def start(state: State, host: str, port: int) -> tuple[Any, int]:
    """Listen.

    Returns:
        The `grpc.aio.Server` and its port.
    """
    grpc: Any = import_module("grpc")
    aio: Any = import_module("grpc.aio")
    limits = state.limits
    options = [
        ("grpc.max_receive_message_length", limits.body + FRAME),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", limits.http_headers),
        ("grpc.so_reuseport", 0),
    ]
    server = aio.server(options=options)
    service = Service(state)
    kinds = messages()
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            answering(grpc, state, name, getattr(service, snake(name))),
            request_deserializer=kinds[f"{name}Request"].FromString,
            response_serializer=kinds[f"{name}Response"].SerializeToString,
        )
        for name in METHODS
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(f"{PACKAGE}.GRPCInferenceService", handlers),)
    )
    bound = server.add_insecure_port(f"{host}:{port}")
    await server.start()
    return server, int(bound)


def snake(name: str) -> str:
    """`ModelInfer` as `model_infer`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")


def answering(grpc: Any, state: State, name: str, handle: Handler) -> Callable[[Any, Any], Awaitable[Any]]:
    """A call with its errors as gRPC statuses."""

    async def answer(request: Any, context: Any) -> Any:
        left = context.time_remaining()
        seconds = state.limits.deadline if left is None else min(left, state.limits.deadline)
        try:
            if state.token and name not in OPEN:
                authorize(state, context)
            return await handle(request, seconds)
        except ServingError as error:
            state.log.refused("gRPC", name, error)
            return await context.abort(getattr(grpc.StatusCode, error.code), str(error))

    return answer


def authorize(state: State, context: Any) -> None:
    """Check the token.

    Raises:
        UnauthorizedError: It is missing or another.
    """
    given = str(dict(context.invocation_metadata()).get("authorization", ""))
    if not hmac.compare_digest(given.encode(), f"Bearer {state.token}".encode()):
        raise UnauthorizedError("this server wants its bearer token in the authorization metadata.")


class Service:
    """The calls; each takes a request message and the seconds left."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._kinds = messages()

    async def server_live(self, request: Any, seconds: float) -> Any:
        """Whether the process answers."""
        return self._kinds["ServerLiveResponse"](live=True)

    async def server_ready(self, request: Any, seconds: float) -> Any:
        """Whether every model is ready."""
        return self._kinds["ServerReadyResponse"](ready=self._state.ready)

    async def model_ready(self, request: Any, seconds: float) -> Any:
        """Whether one is."""
        try:
            entry = self._state.repository.find(request.name, checked_version(request.version))
        except NotFoundError:
            return self._kinds["ModelReadyResponse"](ready=False)
        return self._kinds["ModelReadyResponse"](ready=entry.served is not None)

    async def server_metadata(self, request: Any, seconds: float) -> Any:
        """Name, version, extensions."""
        return self._kinds["ServerMetadataResponse"](**self._state.server_metadata())

    async def model_metadata(self, request: Any, seconds: float) -> Any:
        """Inputs and outputs."""
        version = checked_version(request.version)
        versions = [version] if version else list(self._state.repository.versions(request.name))
        served = self._state.repository.served(request.name, version)
        return self._kinds["ModelMetadataResponse"](**served.metadata(versions))

    async def model_config(self, request: Any, seconds: float) -> Any:
        """The configuration that the model is run by."""
        served = self._state.repository.served(request.name, checked_version(request.version))
        return self._kinds["ModelConfigResponse"](config=config_of(served))

    async def model_statistics(self, request: Any, seconds: float) -> Any:
        """Counts and durations."""
        found = statistics(self._state.repository, request.name, checked_version(request.version))
        return self._kinds["ModelStatisticsResponse"](model_stats=found)

    async def repository_index(self, request: Any, seconds: float) -> Any:
        """All models."""
        return self._kinds["RepositoryIndexResponse"](models=self._state.repository.index(ready_only=request.ready))

    async def repository_model_load(self, request: Any, seconds: float) -> Any:
        """Load one, if allowed."""
        await control(self._state, request.model_name, "load", request.parameters)
        return self._kinds["RepositoryModelLoadResponse"]()

    async def repository_model_unload(self, request: Any, seconds: float) -> Any:
        """Unload one, if allowed."""
        await control(self._state, request.model_name, "unload", request.parameters)
        return self._kinds["RepositoryModelUnloadResponse"]()

    async def model_infer(self, request: Any, seconds: float) -> Any:
        """Run one."""
        start = time.perf_counter_ns()
        served = self._state.repository.served(request.model_name, checked_version(request.model_version))
        try:
            decoded = decode(request, served, self._state.limits, start, seconds)
            results = await served.infer(decoded)
        except ServingError as error:
            served.statistics.failed(start, error.reason)
            raise
        response = self._kinds["ModelInferResponse"](
            model_name=served.name, model_version=served.version, id=request.id
        )
        begin = time.perf_counter_ns()
        for name, array in results.items():
            spec = served.signature.outputs[name]
            response.outputs.add(name=name, datatype=spec.datatype, shape=array.shape)
            response.raw_output_contents.append(bytes(to_bytes(array)))
        decoded.timing.output = time.perf_counter_ns() - begin
        first = next(iter(decoded.inputs.values()), None)
        served.statistics.succeeded(decoded.timing, first.shape[0] if first is not None and first.ndim else 1)
        return response


def decode(request: Any, served: ServedModel, limits: Limits, start: int, seconds: float) -> InferenceRequest:
    """The arrays and names of a request.

    Raises:
        BadRequestError: It is malformed or does not fit the model.
    """
    if max(len(request.inputs), len(request.outputs)) > limits.tensors:
        raise BadRequestError(f"the request names more than {limits.tensors} tensors.")
    if len(request.id) > limits.name:
        raise BadRequestError(f"the id of a request has at most {limits.name} characters.")
    for holder in (request, *request.inputs, *request.outputs):
        refuse_parameters(holder)
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise BadRequestError("raw_input_contents holds more or fewer tensors than inputs names.")
    arrays: dict[str, Any] = {}
    for number, entry in enumerate(request.inputs):
        spec = served.signature.inputs.get(entry.name)
        if spec is None or entry.name in arrays:
            problem = "is given twice" if spec else f"is not one of {list(served.signature.inputs)}"
            raise BadRequestError(f"input {entry.name[:100]!r} {problem}.")
        shape = checked_shape(spec, entry.datatype, list(entry.shape), limits)
        if raw and entry.HasField("contents"):
            raise BadRequestError(f"input {entry.name!r} has typed contents and raw contents.")
        arrays[entry.name] = from_bytes(spec, shape, raw[number] if raw else typed_bytes(entry, spec))
    names = [output.name for output in request.outputs]
    served.check_outputs(names)
    timeout = request.parameters["timeout"].int64_param if "timeout" in request.parameters else None
    allowed = min(seconds, allowed_seconds(timeout, limits))
    return InferenceRequest(arrays, names, start / 1e9 + allowed, Timing(start))


def refuse_parameters(holder: Any) -> None:
    """Refuse what would change the answer and is not served."""
    for name, reason in REFUSED.items():
        if name in holder.parameters:
            value = holder.parameters[name]
            if any(getattr(value, field.name) for field, _ in value.ListFields()):
                raise BadRequestError(f"the request has the parameter {name!r}: {reason}.")


def typed_bytes(entry: Any, spec: Any) -> bytes:
    """The bytes of an input that came in the typed field of its datatype.

    Raises:
        BadRequestError: It came in another, or a number is out of range.
    """
    name = CONTENTS.get(spec.datatype)
    filled = [field.name for field, _ in entry.contents.ListFields()]
    if filled not in ([name], []):
        raise BadRequestError(f"the contents of input {entry.name!r} are not in the field of {spec.datatype}.")
    if name is None:
        raise BadRequestError(f"input {entry.name!r} is {spec.datatype}, which travels in raw_input_contents only.")
    try:
        return np.array(getattr(entry.contents, name), spec.numpy).tobytes()
    except OverflowError:
        raise BadRequestError(f"input {entry.name!r} is out of the range of {spec.datatype}.") from None
