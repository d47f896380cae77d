"""What is written for Ray Serve on Ray itself, where an environment has it: `KXCHANGE_RAY_PYTHON` names its Python."""

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
from kxchange.serving.deploy import deploy

PYTHON = os.environ.get("KXCHANGE_RAY_PYTHON") or (sys.executable if find_spec("ray") else "")


@pytest.mark.skipif(not PYTHON, reason="Ray is not installed")
def test_two_replicas_share_the_requests(cache, monkeypatch, models, tmp_path):
    monkeypatch.setenv("KXCHANGE_CACHE", str(cache))
    deploy(models["perceptron"], "ray", tmp_path, replicas=2)
    script = Path(__file__).with_name("replicas_of_ray.py")
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    command = [PYTHON, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    right = kx.load(models["perceptron"])(x=np.full((1, 64), 0.5, np.float32))["y"]
    assert found["ready"] == [200, {"ready": True}]
    for status, reply in found["answers"]:
        assert status == 200
        np.testing.assert_allclose(reply["outputs"][0]["data"], right[0], atol=2e-6)
    assert len(found["counts"]) == 2  # two replicas, each with its own count
    assert sum(found["counts"]) == 101
    assert found["unknown"][0] == 404
    assert found["broken"][0] == 400
