"""Requests that the serving tests send, right ones and ones that can be made wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

URL = "/v2/models/perceptron/infer"
RAW = np.zeros((1, 64), np.float32).tobytes()


def body(**changes) -> bytes:
    entry = {"name": "x", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}
    return json.dumps({"inputs": [{k: v for k, v in (entry | changes).items() if v is not ...}]}).encode()


def binary(raw: bytes = RAW, length: str | None = None, **changes):
    head = body(data=..., parameters={"binary_data_size": len(raw)}, **changes)
    return head + raw, {"Inference-Header-Content-Length": length or str(len(head))}


def check(server):
    status, _, reply = server.call(URL, body())
    assert status == 200, reply
    assert len(json.loads(reply)["outputs"][0]["data"]) == 10


def steadily(server) -> Iterator:
    """The server; after what is done with it, it answers as before and has not grown."""
    check(server)
    before = server.memory()
    yield server
    check(server)
    assert server.memory() - before < 50 * 2**20
    assert not [event for event in server.events() if event["event"] == "broken"]
