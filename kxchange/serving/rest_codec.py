"""Inference requests and responses of the REST protocol: JSON, with the binary tensor extension both ways."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import orjson

from kxchange.model import Array
from kxchange.serving.datatypes import BINARY_ONLY
from kxchange.serving.errors import BadRequestError, TooLargeError
from kxchange.serving.limits import Limits
from kxchange.serving.served import InferenceRequest, ServedModel
from kxchange.serving.signature import TensorSpec
from kxchange.serving.statistics import Timing
from kxchange.serving.tensors import checked_shape, from_bytes, from_json, to_bytes, to_json

JSON_TYPE, BINARY_TYPE = b"application/json", b"application/octet-stream"
HEADER_LENGTH = b"inference-header-content-length"
PLAN_BYTES, PLANS_KEPT = 4096, 256
"""Longest JSON that is remembered, and how many are: clients choose them, and may not fill the memory with them."""
REFUSED = {
    "shared_memory_region": "shared memory is not served",
    "classification": "classification is not served",
    "sequence_id": "sequences are not served",
}
"""Parameters that would change the answer."""


class Given(NamedTuple):
    """An input as a request states it.

    Attributes:
        spec: What the model takes.
        shape: Checked against it.
        size: Bytes behind the JSON; None where the data stands in it.
        data: What stands in it.
    """

    spec: TensorSpec
    shape: tuple[int, ...]
    size: int | None
    data: Any


@dataclass(frozen=True, slots=True)
class Plan:
    """What the JSON of a request says, checked against the model: all of it but the bytes behind.

    Attributes:
        id: To be repeated in the answer.
        outputs: Names wanted; empty: all.
        binary: Those wanted as binary data.
        seconds: In which the answer must be there.
        inputs: As stated.
        size: Bytes behind the JSON.
    """

    id: str
    outputs: list[str]
    binary: set[str]
    seconds: float
    inputs: list[Given]
    size: int


@dataclass(slots=True)
class Envelope:
    """A request: what it says, and what the model is given."""

    plan: Plan
    request: InferenceRequest


def decode(body: memoryview, header_length: int | None, served: ServedModel, limits: Limits, start: int) -> Envelope:
    """Read a request.

    Args:
        body: All of it, decompressed.
        header_length: Bytes of JSON in front of the binary tensors; None where all is JSON.
        served: The model asked.
        limits: What a request may hold.
        start: When it arrived, in the clock of `time.perf_counter_ns`.

    Raises:
        BadRequestError: It is malformed or does not fit the model.
        TooLargeError: Its JSON is beyond the limit.
    """
    if header_length is None:
        plan, position = made_plan(read_json(body, limits.json), served, limits), len(body)
    else:
        plan, position = kept_plan(body[:header_length], served, limits), header_length
    if position + plan.size != len(body):
        raise BadRequestError(
            f"the inputs have {plan.size} bytes behind the JSON, the request has {len(body) - position}."
        )
    arrays: dict[str, Array] = {}
    for spec, shape, size, data in plan.inputs:
        if size is None:
            arrays[spec.name] = from_json(spec, shape, data)
        else:
            arrays[spec.name] = from_bytes(spec, shape, body[position : position + size])
            position += size
    refuse_binary_only(served, plan)
    return Envelope(plan, InferenceRequest(arrays, plan.outputs, start / 1e9 + plan.seconds, Timing(start)))


def kept_plan(head: memoryview, served: ServedModel, limits: Limits) -> Plan:
    """The plan of a JSON head. Clients send the same one with tensor after tensor: it is read once."""
    if len(head) > PLAN_BYTES:
        return made_plan(read_json(head, limits.header), served, limits)
    key = bytes(head)
    plan = served.plans.get(key)
    if plan is None:
        plan = made_plan(read_json(head, limits.header), served, limits)
        if len(served.plans) >= PLANS_KEPT:
            served.plans.clear()
        served.plans[key] = plan
    return plan


def made_plan(head: dict[str, Any], served: ServedModel, limits: Limits) -> Plan:
    """Check everything that the JSON of a request says."""
    parameters = checked_parameters(head.get("parameters", {}))
    inputs = checked_list(head.get("inputs", []), "inputs", limits)
    wanted = checked_list(head.get("outputs", []), "outputs", limits)
    given = read_inputs(inputs, served, limits)
    names = [str(entry["name"]) for entry in wanted]
    served.check_outputs(names)
    identity = head.get("id", "")
    if not isinstance(identity, str) or len(identity) > limits.name:
        raise BadRequestError(f"the id of a request is a text of at most {limits.name} characters.")
    binary = binary_outputs(wanted, parameters.get("binary_data_output", False) is True, served)
    seconds = allowed_seconds(parameters.get("timeout"), limits)
    return Plan(identity, names, binary, seconds, given, sum(entry.size or 0 for entry in given))


def read_json(raw: memoryview, limit: int) -> dict[str, Any]:
    """The JSON object of a request."""
    if len(raw) > limit:
        raise TooLargeError(f"the JSON of the request is beyond {limit} bytes. Send large tensors as binary data.")
    try:
        head = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"the request is not JSON: {str(error)[:200]}.") from None
    if not isinstance(head, dict):
        raise BadRequestError("the request is not a JSON object.")
    return cast("dict[str, Any]", head)


def checked_list(given: Any, what: str, limits: Limits) -> list[dict[str, Any]]:
    """A list of tensors, each an object with a name of its own."""
    if type(given) is not list:
        raise BadRequestError(f"{what} is not a list.")
    entries = cast("list[Any]", given)
    if len(entries) > limits.tensors:
        raise BadRequestError(f"the request has {len(entries)} {what}, {limits.tensors} are allowed.")
    for entry in entries:
        given = cast("dict[str, Any]", entry if isinstance(entry, dict) else {})
        if not isinstance(given.get("name"), str):
            raise BadRequestError(f"{what} holds something that is not an object with a name.")
        if len(given["name"]) > limits.name:
            raise BadRequestError(f"a name in {what} is longer than {limits.name} characters.")
        if "parameters" in given:
            checked_parameters(given["parameters"])
    return entries


def checked_parameters(given: Any) -> dict[str, Any]:
    """Parameters, without those that would change the answer and are not served."""
    if not isinstance(given, dict):
        raise BadRequestError("parameters is not an object.")
    parameters = cast("dict[str, Any]", given)
    for name, reason in REFUSED.items():
        if parameters.get(name):
            raise BadRequestError(f"the request has the parameter {name!r}: {reason}.")
    return parameters


def read_inputs(inputs: list[dict[str, Any]], served: ServedModel, limits: Limits) -> list[Given]:
    """Every input as stated, its shape checked."""
    found: dict[str, Given] = {}
    for entry in inputs:
        name = entry["name"]
        spec = served.signature.inputs.get(name)
        if spec is None:
            raise BadRequestError(f"{served.name} has no input {name[:100]!r}; it has {list(served.signature.inputs)}.")
        if name in found:
            raise BadRequestError(f"input {name!r} is given twice.")
        shape = checked_shape(spec, entry.get("datatype"), entry.get("shape"), limits)
        size = entry.get("parameters", {}).get("binary_data_size")
        if size is not None and (type(size) is not int or size < 0 or "data" in entry):
            raise BadRequestError(f"the binary_data_size of input {name!r} is not a size, or data is there as well.")
        found[name] = Given(spec, shape, size, entry.get("data"))
    return list(found.values())


def binary_outputs(wanted: list[dict[str, Any]], default: bool, served: ServedModel) -> set[str]:
    """Names of the outputs to be sent as binary data."""
    if not wanted:
        return set(served.signature.outputs) if default else set()
    chosen = {entry["name"]: entry.get("parameters", {}).get("binary_data", default) for entry in wanted}
    return {name for name, binary in chosen.items() if binary is True}


def allowed_seconds(timeout: Any, limits: Limits) -> float:
    """What the client allows, in microseconds, or the server's limit."""
    if timeout is None or timeout == 0:
        return limits.deadline
    if type(timeout) is not int or timeout < 0:
        raise BadRequestError("the timeout is not a number of microseconds.")
    return min(limits.deadline, timeout / 1e6)


def encode(served: ServedModel, envelope: Envelope, results: Mapping[str, Array]) -> tuple[list[Any], int | None]:
    """Write a response.

    Returns:
        The pieces of the body, and the length of the JSON where binary tensors follow.

    Raises:
        BadRequestError: An output has no form in JSON.
    """
    begin = time.perf_counter_ns()
    outputs: list[dict[str, Any]] = []
    pieces: list[Any] = []
    for name, array in results.items():
        spec = served.signature.outputs[name]
        entry: dict[str, Any] = {"name": name, "datatype": spec.datatype, "shape": array.shape}
        if name in envelope.plan.binary:
            raw = to_bytes(array)
            entry["parameters"] = {"binary_data_size": raw.nbytes}
            pieces.append(raw)
        else:
            entry["data"] = to_json(spec, array)
        outputs.append(entry)
    head: dict[str, Any] = {"model_name": served.name, "model_version": served.version, "outputs": outputs}
    if envelope.plan.id:
        head["id"] = envelope.plan.id
    text = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    envelope.request.timing.output = time.perf_counter_ns() - begin
    return [text, *pieces], len(text) if pieces else None


def refuse_binary_only(served: ServedModel, plan: Plan) -> None:
    """Say before the run, not after it, that an output cannot be written as JSON."""
    for name in plan.outputs or served.signature.outputs:
        spec = served.signature.outputs[name]
        if spec.datatype in BINARY_ONLY and name not in plan.binary:
            raise BadRequestError(f"output {name!r} is {spec.datatype}: ask for it as binary_data.")
