"""Files of Keras 1 and 2: what their own Keras computed, or what a layer's definition gives by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

DATA = Path(__file__).parents[1] / "data" / "keras2"
Weights = list[tuple[str, np.ndarray]]


def load(path: Path) -> Any:
    from kxchange_keras.load import load

    return load(path)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.h5")), ids=lambda path: path.stem)
def test_keras_2_file(path: Path) -> None:
    model, record = load(path), np.load(path.with_suffix(".npz"))
    inputs = {name: record[f"in_{i}"] for i, name in enumerate(model.input_names)}
    for i, found in enumerate(model(**inputs).values()):
        wanted = record[f"out_{i}"]
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= 1e-5 * max(1.0, np.abs(wanted).max())


def write_h5(
    path: Path, version: str, layers: list[dict[str, Any]], weights: dict[str, Weights], backend: str = "tensorflow"
) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": layers}).encode()
        if version:
            file.attrs["keras_version"] = version.encode()
        file.attrs["backend"] = backend.encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            inner = group.create_group(name)
            inner.attrs["weight_names"] = [key.encode() for key, _ in arrays]
            for key, array in arrays:
                inner[key] = array
    return path


def entry(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": config}


def test_keras_1_dense(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernel, bias = rng.standard_normal((4, 3), np.float32), rng.standard_normal(3).astype(np.float32)
    dense = entry("Dense", name="dense_1", output_dim=3, activation="hard_sigmoid", batch_input_shape=[None, 4])
    path = write_h5(tmp_path / "net.h5", "1.2.2", [dense], {"dense_1": [("dense_1_W", kernel), ("dense_1_b", bias)]})
    x = rng.standard_normal((5, 4), np.float32)
    (found,) = load(path)(**{"dense_1_input": x}).values()
    np.testing.assert_allclose(found, np.clip(0.2 * (x @ kernel + bias) + 0.5, 0, 1), atol=1e-6)


def test_a_file_without_a_version_is_keras_1(tmp_path: Path) -> None:
    dense = entry("Dense", name="d", output_dim=1, bias=False, batch_input_shape=[None, 2])
    path = write_h5(tmp_path / "net.h5", "", [dense], {"d": [("d_W", np.array([[2.0], [3.0]], np.float32))]})
    (found,) = load(path)(d_input=np.ones((1, 2), np.float32)).values()
    assert found.tolist() == [[5.0]]


def by_hand_lstm(x: np.ndarray, gates: dict[str, tuple[np.ndarray, ...]]) -> np.ndarray:
    def gate(name: str, step: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        w, u, b = gates[name]
        return step @ w + hidden @ u + b

    hard = lambda z: np.clip(0.2 * z + 0.5, 0, 1)  # noqa: E731
    hidden = cell = np.zeros((len(x), gates["i"][1].shape[0]))
    for t in range(x.shape[1]):
        i, f, o = (hard(gate(name, x[:, t], hidden)) for name in "ifo")
        cell = f * cell + i * np.tanh(gate("c", x[:, t], hidden))
        hidden = o * np.tanh(cell)
    return hidden


def test_keras_1_lstm_has_twelve_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    gates = {name: (draw(2, 3), draw(3, 3), draw(3)) for name in "icfo"}
    arrays = [(f"l_{kind}_{name}", a) for name, parts in gates.items() for kind, a in zip("WUb", parts, strict=True)]
    layer = entry("LSTM", name="l", output_dim=3, inner_activation="hard_sigmoid", batch_input_shape=[None, 4, 2])
    path = write_h5(tmp_path / "net.h5", "1.1.0", [layer], {"l": arrays})
    x = draw(2, 4, 2)
    (found,) = load(path)(l_input=x).values()
    np.testing.assert_allclose(found, by_hand_lstm(x, gates), atol=1e-6)


def correlate(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """x [rows, columns], kernel [rows, columns], "valid"."""
    rows, columns = (n - k + 1 for n, k in zip(x.shape, kernel.shape, strict=True))
    return np.array(
        [
            [(x[i : i + kernel.shape[0], j : j + kernel.shape[1]] * kernel).sum() for j in range(columns)]
            for i in range(rows)
        ]
    )


@pytest.mark.parametrize("backend", ["tensorflow", "theano"])
def test_theano_kernels_are_turned_around(backend: str, tmp_path: Path) -> None:
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    layer = entry(
        "Conv2D",
        name="c",
        filters=1,
        kernel_size=[2, 3],
        use_bias=False,
        batch_input_shape=[None, 4, 5, 1],
        padding="valid",
    )
    path = write_h5(tmp_path / "n.h5", "2.1.0", [layer], {"c": [("c/kernel:0", kernel[:, :, None, None])]}, backend)
    x = np.arange(20, dtype=np.float32).reshape(4, 5) ** 2
    (found,) = load(path)(c_input=x[None, :, :, None]).values()
    turned = kernel[::-1, ::-1] if backend == "theano" else kernel
    np.testing.assert_allclose(found[0, :, :, 0], correlate(x, turned), rtol=1e-6)


def test_keras_1_channels_first_convolution(tmp_path: Path) -> None:
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    options = {"nb_filter": 1, "nb_row": 2, "nb_col": 3, "dim_ordering": "th", "border_mode": "valid", "bias": False}
    layer = entry("Convolution2D", name="c", batch_input_shape=[None, 1, 4, 5], **options)
    path = write_h5(tmp_path / "n.h5", "1.0.8", [layer], {"c": [("c_W", kernel[None, None])]})
    x = np.arange(20, dtype=np.float32).reshape(4, 5) ** 2
    (found,) = load(path)(c_input=x[None, None]).values()
    np.testing.assert_allclose(found[0, 0], correlate(x, kernel), rtol=1e-6)


def test_names_tell_apart_what_order_does_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernel, bias = rng.standard_normal((3, 3), np.float32), np.zeros(3, np.float32)
    dense = entry("Dense", name="d", units=3, batch_input_shape=[None, 3], activation="linear")
    path = write_h5(tmp_path / "n.h5", "2.3.0", [dense], {"d": [("d/bias:0", bias), ("d/kernel:0", kernel)]})
    x = rng.standard_normal((2, 3), np.float32)
    (found,) = load(path)(d_input=x).values()
    np.testing.assert_allclose(found, x @ kernel, atol=1e-6)


def test_long_lists_of_names_are_cut(tmp_path: Path) -> None:
    """Keras cuts a list over 64 KiB into numbered attributes (trap S06)."""
    kernel = np.ones((2, 1), np.float32)
    dense = entry("Dense", name="d", units=1, use_bias=False, batch_input_shape=[None, 2])
    path = write_h5(tmp_path / "n.h5", "2.3.0", [dense], {"d": [("d/kernel:0", kernel)]})
    with h5py.File(path, "r+") as file:
        group = file["model_weights/d"]
        names = group.attrs["weight_names"]
        del group.attrs["weight_names"]
        group.attrs["weight_names0"] = names
    (found,) = load(path)(d_input=np.ones((1, 2), np.float32)).values()
    assert found.tolist() == [[2.0]]
