"""Every call of KServe's clients, in an environment that has them: `python calls_of_kserve.py HTTP GRPC`.

It runs apart from the tests, which have other releases of what these clients need; it prints what the model gave.
"""

from __future__ import annotations

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import InferOutput, RequestedOutput


def request(binary: bool) -> InferRequest:
    array = np.full((2, 64), 0.5, np.float32)
    entry = InferInput(name="x", shape=[2, 64], datatype="FP32")
    entry.set_data_from_numpy(array, binary_data=binary)
    outputs = [RequestedOutput("y", parameters={"binary_data": binary})]
    return InferRequest(model_name="perceptron", infer_inputs=[entry], request_id="an id", request_outputs=outputs)


async def rest(address: str) -> list[list[float]]:
    base, found = f"http://{address}", []
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=240)) as client:
        assert await client.is_server_live(base)
        assert await client.is_server_ready(base)
        assert await client.is_model_ready(base, "perceptron")
        for binary in (False, True):
            reply = await client.infer(base, request(binary), model_name="perceptron")
            assert reply.id == "an id"
            (output,) = reply.outputs
            assert isinstance(output, InferOutput)
            found.append(output.as_numpy().reshape(-1).tolist())
        try:
            await client.infer(base, request(False), model_name="nothing")
        except Exception as error:
            assert "no model 'nothing'" in str(error), error
        else:
            raise AssertionError("there is no such model")
    return found


async def remote(address: str) -> list[list[float]]:
    async with InferenceGRPCClient(address, timeout=240) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("perceptron")
        reply = await client.infer(request(True))
        assert reply.id == "an id"
        return [reply.outputs[0].as_numpy().reshape(-1).tolist()]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(rest(sys.argv[1])) + asyncio.run(remote(sys.argv[2]))))
