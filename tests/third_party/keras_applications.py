"""The architectures of `keras.applications`, with random weights, through `.keras` -> kxchange -> every backend and back.

    python tests/third_party/keras_applications.py MobileNet ResNet50        these, printed
    python tests/third_party/keras_applications.py --write                   all, into docs/coverage/keras.md and .json
    python tests/third_party/keras_applications.py --write MobileNet         these anew, the others as recorded

Every case runs in a process of its own, so that memory is given back and one failure costs one row.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "coverage" / "keras.json"
PAGE = ROOT / "docs" / "coverage" / "keras.md"
BACKENDS = ("keras", "numpy", "torch", "jax", "tensorflow", "onnx")
LIMIT = 1e-4
"""Relative distance to Keras's own float32 output that counts as the same: a wrong rule is off by far more."""
REFERENCE_LIMIT = 40_000_000
"""Parameters up to which the NumPy reference runs too: it is slow."""
SIZES = {"NASNetMobile": 224, "NASNetLarge": 331, "InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 75}
"""Sides of the square input, where 64 is too small."""
NAMES = (
    *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
    *("DenseNet121", "DenseNet169", "DenseNet201"),
    *(f"EfficientNetB{number}" for number in range(8)),
    *(f"EfficientNetV2{name}" for name in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    *("InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small"),
    *("NASNetLarge", "NASNetMobile"),
    *("ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2"),
    *("VGG16", "VGG19", "Xception"),
)


def make(name: str) -> Any:
    """An architecture with random weights whose outputs differ from class to class."""
    import keras

    keras.utils.set_random_seed(0)
    side = SIZES.get(name, 64)
    net = getattr(keras.applications, name)(
        weights=None, input_shape=(side, side, 3), classes=10, classifier_activation=None
    )
    generator = np.random.default_rng(0)
    for weight in net.weights:
        if weight.path.endswith(("gamma", "variance")):
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
        elif weight.path.endswith(("beta", "mean", "bias")):
            weight.assign(generator.normal(0.0, 0.1, weight.shape))
    settle(net, generator.uniform(0, 255, (4, side, side, 3)).astype(np.float32))
    return net


def settle(net: Any, x: Any) -> None:
    """Give every batch normalization the mean and the mean square of its own inputs.

    A deep net with random ones, or with the variances of nearly constant channels, amplifies the last digit of its
    input beyond its output.
    """
    norms = [layer for layer in net._flatten_layers() if type(layer).__name__ == "BatchNormalization"]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    net(x, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        layer.moving_variance.assign(layer.moving_variance + layer.moving_mean**2)


def distance(found: Any, own: Any) -> float:
    """Relative distance of two arrays."""
    own = np.asarray(own, np.float64)
    return float(np.linalg.norm(np.asarray(found, np.float64) - own) / np.linalg.norm(own))


def measure(name: str) -> dict[str, Any]:
    """One architecture on every backend."""
    import keras

    import kxchange as kx
    from kxchange_keras.build import build_parts

    net = make(name)
    side = net.input_shape[1]
    x = np.random.default_rng(1).uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.keras"
        net.save(path)
        start = time.perf_counter()
        loaded = keras.saving.load_model(path, compile=False)
        theirs = time.perf_counter() - start
        own = np.asarray(loaded(x, training=False))  # Normalization reads what was assigned to it only when loaded
        start = time.perf_counter()
        model = kx.load(path)
        ours = time.perf_counter() - start
        kx.save(model, Path(folder) / "net.kx")
        model = kx.load(Path(folder) / "net.kx")
        found: dict[str, Any] = {"parameters": int(net.count_params()), "load": [ours, theirs]}
        built = build_parts(model)
        found["transposes"] = sum(type(operation).__name__ == "Transpose" for operation in built.net.operations)
        found["hosted"] = len(built.hosted)
        paths = [[w.path for w in one.weights if "seed" not in w.path] for one in (loaded, built.net)]
        found["renamed"] = len(set(paths[0]) - set(paths[1]))
        results = {"keras": lambda: built.net(x, training=False)}
        for backend in BACKENDS[1:]:
            results[backend] = lambda backend=backend: next(
                iter(kx.run(model, {model.input_names[0]: x}, backend=backend).values())
            )
        for backend, run in results.items():
            if backend == "numpy" and found["parameters"] > REFERENCE_LIMIT:
                continue
            try:
                found[backend] = distance(run(), own)
            except Exception as error:
                found[backend] = f"{type(error).__name__}: {str(error)[:200]}"
    return found


def verdict(value: Any) -> str:
    """One word for a figure."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return "failed"
    return f"SAME ({value:.0e})" if value <= LIMIT else f"WRONG ({value:.0e})"


def page(results: Mapping[str, Any]) -> str:
    """The table in Markdown."""
    lines = [
        "<!-- Generated by tests/third_party/keras_applications.py --write. Do not edit. -->",
        "",
        "# Keras coverage",
        "",
        f"Architectures of `keras.applications` with random weights, from a `.keras` file through `.kx`: "
        f"{sum(is_good(row) for row in results.values())} of {len(results)} recorded are the same on every backend "
        f"that ran, of {len(NAMES)} there are. In brackets the relative distance to Keras's own output in float32. "
        "`transposes` were inserted on the way back to Keras; `hosted` are weights that no native layer holds "
        "(`LayerScale` of ConvNeXt is no layer of `keras.layers`); `load` is the time of kxchange over that of Keras. "
        f"The NumPy reference is left out above {REFERENCE_LIMIT:,} parameters.",
        "",
        f"| architecture | parameters | {' | '.join(BACKENDS)} | transposes | hosted | load |",
        f"|---|---:|{'---|' * len(BACKENDS)}---:|---:|---:|",
    ]
    for name, row in sorted(results.items()):
        if "error" in row:
            lines.append(f"| {name} | | {row['error']} |")
            continue
        words = " | ".join(verdict(row.get(backend)) for backend in BACKENDS)
        ratio = row["load"][0] / row["load"][1]
        lines.append(
            f"| {name} | {row['parameters']:,} | {words} | {row['transposes']} | {row['hosted']} | {ratio:.2f} |"
        )
    return "\n".join(lines) + "\n"


def is_good(row: Mapping[str, Any]) -> bool:
    """Whether a row has no failure."""
    figures = [row[backend] for backend in BACKENDS if backend in row]
    return bool(figures) and all(not isinstance(f, str) and f <= LIMIT for f in figures)


def measured_apart(name: str) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--one", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else "no output"}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--write", action="store_true", help="write docs/coverage/keras.md and keras.json")
    parser.add_argument("--one", action="store_true", help="print the figures of one, as JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.names[0])))
        return 0
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in given.names or NAMES:
        results[name] = measured_apart(name)
        print(name, json.dumps(results[name]), flush=True)
        if given.write:
            RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
            PAGE.write_text(page(results))
    return 0 if all(is_good(results[name]) for name in given.names or NAMES) else 1


if __name__ == "__main__":
    sys.exit(main())
