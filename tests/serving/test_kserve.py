"""KServe's own clients, where an environment has them: `KXCHANGE_KSERVE_PYTHON` names its Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import kxchange as kx

PYTHON = os.environ.get("KXCHANGE_KSERVE_PYTHON") or (sys.executable if find_spec("kserve") else "")


@pytest.mark.skipif(not PYTHON, reason="KServe's client is not installed")
def test_every_call(server, models):
    script = Path(__file__).with_name("calls_of_kserve.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [PYTHON, str(script), server.http, server.grpc]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    right = kx.load(models["perceptron"])(x=np.full((2, 64), 0.5, np.float32))["y"]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 3  # REST as JSON and as binary data, gRPC
    for result in found:
        np.testing.assert_allclose(result, right.reshape(-1), atol=2e-6)
