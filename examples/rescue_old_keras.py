"""A file of Keras 2 that Keras 3 refuses: `python examples/rescue_old_keras.py [OLD NEW]`. NEW opens in Keras 3."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import keras

import kxchange as kx

SAMPLE = Path(__file__).parent.parent / "tests" / "data" / "keras2" / "conv.h5"


def main(old: str = str(SAMPLE), new: str = "") -> int:
    try:
        keras.saving.load_model(old)
        print("Keras opens it by itself")
    except Exception as error:
        print(f"Keras {keras.__version__} refuses it: {str(error)[:90]} ...")
    with tempfile.TemporaryDirectory() as folder:
        target = new or f"{folder}/rescued.keras"
        done = kx.convert(old, target)
        print(done.report)
        keras.saving.load_model(target).summary()
    return 0 if done.ok else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
