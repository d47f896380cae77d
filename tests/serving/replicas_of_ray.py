"""The folder of `kx deploy --to ray` on a local Ray, in an environment that has it: `python replicas_of_ray.py FOLDER`.

It prints what the replicas answered, and what each of them counted.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import ray
from ray import serve

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 64], "data": [0.5] * 64}]}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def call(url: str, data: bytes | None = None) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=240) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def main(folder: str) -> None:
    os.chdir(folder)
    sys.path.insert(0, folder)
    port = free_port()
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    from app import app

    serve.run(app)
    url = f"http://127.0.0.1:{port}/v2"
    infer = f"{url}/models/perceptron/infer"
    content = json.dumps(BODY).encode()
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda _: call(infer, content), range(101))
        )  # odd: two replicas never count the same
        counts = list(threads.map(lambda _: call(f"{url}/models/perceptron/stats")[1], range(50)))
    found = {
        "ready": call(f"{url}/health/ready"),
        "answers": answers,
        "counts": sorted({entry["model_stats"][0]["inference_count"] for entry in counts}),
        "unknown": call(f"{url}/models/nothing/infer", content),
        "broken": call(infer, b"{"),
    }
    serve.shutdown()
    ray.shutdown()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
