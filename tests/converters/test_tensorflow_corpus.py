"""Files of the corpus give what their own runtime gave, read without TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from corpus import corpus

from kxchange.hub import run
from kxchange_tensorflow.load import load

FILES = {
    "dev_helloworld_float_tflite": 1e-6,
    "dev_helloworld_int8_tflite": 0,
    "dev_keypoint_classifier_tflite": 1e-6,
    "dev_point_history_classifier_tflite": 1e-6,
    "dev_microspeech_tflite": 0,
    "dev_tract_keras_tf1_pb": 1e-6,
    "dev_tract_keras_savedmodel": 1e-6,
    "dev_serving_hpt_cpu_savedmodel": 0,
}


@pytest.mark.parametrize("name", FILES)
def test_recorded_outputs(name: str) -> None:
    entry = corpus(name)
    model = load(entry.path)
    checked = 0
    for case in entry.cases():
        if any(array.dtype.kind == "S" for array in case.inputs.values()):
            assert case.signature in model.provenance["left_out"]
            continue
        found = run(model, case.inputs, function=case.signature)
        for output, expected in case.outputs.items():
            assert found[output].dtype == expected.dtype
            np.testing.assert_allclose(
                found[output].astype(np.float64), expected.astype(np.float64), rtol=0, atol=FILES[name]
            )
            checked += 1
    assert checked >= 2


def test_the_batch_stays_open() -> None:
    model = load(corpus("dev_keypoint_classifier_tflite").path)
    assert str(model.main.input_types["input_1"]) == "float32[batch, 42]"


def test_loading_does_not_import_tensorflow() -> None:
    paths = [str(corpus(name).path) for name in FILES]
    code = (
        "import sys, json; from pathlib import Path; from kxchange_tensorflow.load import load\n"
        f"for path in json.loads({json.dumps(paths)!r}): load(Path(path))\n"
        "heavy = {'tensorflow', 'keras', 'onnx', 'google.protobuf', 'flatbuffers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
