"""Hostile and damaged Keras files: refused by name, before anything in them runs."""

from __future__ import annotations

import io
import json
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kxchange.errors import FormatError, KxchangeError, LimitError, UnsupportedOpError, WeightError

h5py = pytest.importorskip("h5py")

KERNEL, BIAS = np.ones((2, 3), np.float32), np.zeros(3, np.float32)
Edit = Callable[[dict[str, Any]], None]


def load(path: Path) -> Any:
    from kxchange_keras.load import load

    return load(path)


def layer(
    class_name: str, module: str = "keras.layers", registered: str | None = None, **config: Any
) -> dict[str, Any]:
    config.setdefault("name", class_name.lower())
    return {"module": module, "class_name": class_name, "config": config, "registered_name": registered}


def config_of(*layers: dict[str, Any]) -> dict[str, Any]:
    first = layer("InputLayer", batch_shape=[None, 2], name="x")
    return layer("Sequential", "keras", name="net", layers=[first, *layers])


def dense(**options: Any) -> dict[str, Any]:
    return layer("Dense", name="dense", trainable=True, units=3, activation="linear", use_bias=True, **options)


def weights(edit: Callable[[Any], None] | None = None) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("layers/dense/vars")
        group["0"], group["1"] = KERNEL, BIAS
        if edit is not None:
            edit(file)
    return buffer.getvalue()


def write(path: Path, config: Any, stored: bytes, extra: Callable[[zipfile.ZipFile], None] | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", config if isinstance(config, str | bytes) else json.dumps(config))
        archive.writestr("model.weights.h5", stored)
        if extra is not None:
            extra(archive)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.keras"


def test_the_honest_file_loads(path: Path) -> None:
    (found,) = load(write(path, config_of(dense()), weights()))(x=np.ones((1, 2), np.float32)).values()
    assert found.tolist() == [[2.0, 2.0, 2.0]]


LAMBDA = layer("Lambda", function={"class_name": "__lambda__", "config": {"value": "4wEAAAA="}})
REFUSED = {
    "lambda": LAMBDA,
    "savedmodel": layer("TFSMLayer", filepath="/etc"),
    "vocabulary": layer("StringLookup", vocabulary="/etc/passwd"),
    "os": layer("system", "os", command="id"),
    "builtins": layer("eval", "os.path"),
    "registered": layer("Dense", "mypackage", "mypackage>Dense", units=3, name="d"),
    "disguised": layer("Dense", "os", units=3, name="d"),
    "get_file": layer("get_file", "keras.utils", origin="http://x"),
    "unknown": layer("Frobnicate"),
    "operation": layer("Frobnicate", "keras.src.ops.numpy"),
    "underscore": layer("__class__"),
    "jax": layer("JaxLayer", call_fn=None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_classes_outside_the_tables_are_refused_by_name(name: str, path: Path) -> None:
    entry = REFUSED[name]
    with pytest.raises(UnsupportedOpError, match=entry["class_name"]):
        load(write(path, config_of(entry, dense()), weights()))


def test_every_blocker_is_named_at_once(path: Path) -> None:
    with pytest.raises(UnsupportedOpError) as caught:
        load(write(path, config_of(LAMBDA, layer("TFSMLayer"), layer("Frobnicate")), weights()))
    assert {blocker.op for blocker in caught.value.blockers} == {"Lambda", "TFSMLayer", "Frobnicate"}


@pytest.mark.parametrize(
    "activation",
    [
        "os.system",
        {"class_name": "function", "config": "system", "module": "os"},
        {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}},
        {"class_name": "Lambda", "config": {}},
        ["relu"],
    ],
)
def test_activations_outside_the_table_are_refused(activation: Any, path: Path) -> None:
    entry = dense()
    entry["config"]["activation"] = activation
    with pytest.raises(UnsupportedOpError, match="activation"):
        load(write(path, config_of(entry), weights()))


def test_unsafe_deserialization_means_nothing_here(path: Path) -> None:
    entry = layer("function", "keras.config", registered="function")
    entry["config"] = "enable_unsafe_deserialization"
    with pytest.raises(KxchangeError):
        load(write(path, config_of(entry, LAMBDA), weights()))


def test_a_subclassed_model_is_refused(path: Path) -> None:
    with pytest.raises(UnsupportedOpError, match="MyModel"):
        load(write(path, layer("MyModel", "mypackage", "mypackage>MyModel"), weights()))


def link(name: str) -> Callable[[zipfile.ZipFile], None]:
    def add(archive: zipfile.ZipFile) -> None:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")

    return add


def bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("assets/bomb", bytes(2**26), compress_type=zipfile.ZIP_DEFLATED)


BAD_ARCHIVES: dict[str, Callable[[zipfile.ZipFile], None]] = {
    "parent": lambda archive: archive.writestr("../evil", b""),
    "backslash": lambda archive: archive.writestr("..\\evil", b""),
    "absolute": lambda archive: archive.writestr("/etc/evil", b""),
    "drive": lambda archive: archive.writestr("C:/evil", b""),
    "link": link("assets/link"),
    "bomb": bomb,
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_bad_archives(name: str, path: Path) -> None:
    with pytest.raises(FormatError):
        load(write(path, config_of(dense()), weights(), BAD_ARCHIVES[name]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(path: Path) -> None:
    with pytest.raises(FormatError, match="two members"):
        load(write(path, config_of(dense()), weights(), lambda archive: archive.writestr("config.json", "{}")))


def test_an_encrypted_member(path: Path) -> None:
    write(path, config_of(dense()), weights())
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            data[start + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match="encrypted"):
        load(path)


def external_link(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file: Any) -> None:
    file["elsewhere"] = KERNEL
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.SoftLink("/elsewhere")


def soft_linked_group(file: Any) -> None:
    file.move("layers/dense", "moved")
    file["layers/dense"] = h5py.SoftLink("/moved")


def external_storage(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file.create_dataset("layers/dense/vars/0", (2, 3), "f4", external=[("/etc/passwd", 0, 24)])


def virtual_dataset(file: Any) -> None:
    del file["layers/dense/vars/0"]
    layout = h5py.VirtualLayout((2, 3), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", (2, 3))
    file["layers/dense/vars"].create_virtual_dataset("0", layout)


def shape_bomb(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file.create_dataset("layers/dense/vars/0", (2**20, 2**20), "f4", chunks=(1024, 1024), compression="gzip")


def text(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = np.array(["text"], dtype=h5py.string_dtype())


@pytest.mark.parametrize(
    "edit", [external_link, soft_link, soft_linked_group, external_storage, virtual_dataset, shape_bomb, text]
)
def test_bad_hdf5(edit: Callable[[Any], None], path: Path) -> None:
    with pytest.raises((FormatError, LimitError, WeightError)):
        load(write(path, config_of(dense()), weights(edit)))


def missing(file: Any) -> None:
    del file["layers/dense/vars/1"]


def surplus(file: Any) -> None:
    file["layers/dense/vars/2"] = BIAS


def misshapen(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = np.ones((5, 3), np.float32)


@pytest.mark.parametrize("edit", [missing, surplus, misshapen])
def test_weights_that_do_not_fit(edit: Callable[[Any], None], path: Path) -> None:
    with pytest.raises((WeightError, UnsupportedOpError)):
        load(write(path, config_of(dense()), weights(edit)))


def circular() -> dict[str, Any]:
    def node(name: str) -> list[Any]:
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}
        return [{"args": [tensor], "kwargs": {}}]

    first, second = layer("Identity", name="a", trainable=True), layer("Identity", name="b", trainable=True)
    first.update(name="a", inbound_nodes=node("b"))
    second.update(name="b", inbound_nodes=node("a"))
    start = layer("InputLayer", batch_shape=[None, 2], name="x")
    start.update(name="x", inbound_nodes=[])
    options = {"layers": [start, first, second], "input_layers": [["x", 0, 0]], "output_layers": [["b", 0, 0]]}
    return layer("Functional", "keras", name="net", **options)


def nested(depth: int) -> str:
    inner = json.dumps(dense())
    for _ in range(depth):
        inner = json.dumps(layer("Sequential", "keras", name="n", layers=[])).replace(
            '"layers": []', f'"layers": [{inner}]'
        )
    return inner


CONFIGS: dict[str, Any] = {
    "not json": b"\xff\xfe",
    "a list": "[]",
    "deep json": "[" * 100_000,
    "no layers": layer("Sequential", "keras", name="net", layers=[]),
    "layers of text": layer("Sequential", "keras", name="net", layers=["dense"]),
    "circular": circular(),
    "deep models": nested(300),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_bad_configs(name: str, path: Path) -> None:
    with pytest.raises(KxchangeError):
        load(write(path, CONFIGS[name], weights()))


def test_random_damage_gives_deliberate_errors(path: Path) -> None:
    data = write(path, config_of(dense()), weights()).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), 6):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            load(path)
        except KxchangeError:
            continue


def test_loading_imports_no_framework(path: Path) -> None:
    import subprocess

    write(path, config_of(dense()), weights())
    script = (
        "import sys, pathlib; from kxchange_keras.load import load; load(pathlib.Path(sys.argv[1]));"
        "print({'keras', 'tensorflow', 'torch', 'jax'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
