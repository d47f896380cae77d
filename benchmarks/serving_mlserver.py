"""MLServer with the same ONNX file and settings, for `benchmarks/serving.py`: a runtime of its own, no worker process.

MLServer is not needed otherwise. Its REST side takes no binary tensors, so requests are JSON. The file that is written
is the shortest runtime that its documentation describes; MLServer's own log of requests and metrics stay as they are.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

from serving_load import Served

RUNTIME = """
import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Runtime(MLModel):
    async def load(self) -> bool:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        path = self.settings.parameters.uri
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feeds = {entry.name: NumpyCodec.decode_input(entry) for entry in payload.inputs}
        results = self.session.run(None, feeds)
        outputs = [NumpyCodec.encode_output("y", result) for result in results]
        return InferenceResponse(model_name=self.name, outputs=outputs)
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start_mlserver(python: str, onnx: Path, folder: Path) -> Served:
    """MLServer, once it is ready.

    Raises:
        SystemExit: It did not start; its own words are shown.
    """
    folder.mkdir()
    ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    (folder / "runtime.py").write_text(RUNTIME)
    (folder / "settings.json").write_text(
        json.dumps({"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports})
    )
    (folder / "model-settings.json").write_text(
        json.dumps({"name": "small", "implementation": "runtime.Runtime", "parameters": {"uri": str(onnx)}})
    )
    log = (folder / "log").open("w")
    begin = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(Path(python).with_name("mlserver")), "start", "."]
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{ports['http_port']}/v2/models/small/ready", timeout=5).close()
            return Served(process, ports["http_port"], time.perf_counter() - begin)
        except OSError:
            time.sleep(0.05)
    raise SystemExit((folder / "log").read_text()[-2000:])
