"""Cases 78 to 88: Keras archives, zip tricks and HDF5 tricks."""

from __future__ import annotations

import io
import json
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hostile.hostile_table import SAFE, Group

Edit = Callable[[Any], Any]


def layer(name: str, module: str = "keras.layers", registered: str | None = None, /, **config: Any) -> dict[str, Any]:
    config.setdefault("name", name.lower())
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


def dense(**config: Any) -> dict[str, Any]:
    return layer("Dense", **{"name": "dense", "units": 3, "activation": "linear", "use_bias": True} | config)


def net(*layers: Any) -> dict[str, Any]:
    first = layer("InputLayer", batch_shape=[None, 2], name="x")
    return layer("Sequential", "keras", name="net", layers=[first, *layers])


def weights(edit: Edit = lambda file: None) -> bytes:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("layers/dense/vars")
        group["0"], group["1"] = np.ones((2, 3), np.float32), np.zeros(3, np.float32)
        edit(file)
    return buffer.getvalue()


def keras(config: Any, stored: bytes | None = None, extra: Edit = lambda archive: None) -> Any:
    def make(folder: Path) -> Path:
        path = folder / "net.keras"
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
            warnings.simplefilter("ignore")
            archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
            archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
            archive.writestr("model.weights.h5", weights() if stored is None else stored)
            extra(archive)
        return path

    return make


def zipped(extra: Edit) -> Any:
    return keras(net(dense()), extra=extra)


def linked(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("assets/link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc/passwd")


def bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("assets/bomb", bytes(2**28), compress_type=zipfile.ZIP_DEFLATED)


def encrypted(folder: Path) -> Path:
    path = keras(net(dense()))(folder)
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            data[start + offset] |= 1
    path.write_bytes(data)
    return path


def shortened(folder: Path) -> Path:
    """A deflated member whose directory entry states a small size."""
    path = folder / "net.keras"
    big = json.dumps(net(dense())) + " " * 2**28
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", weights())
        archive.writestr("config.json", big)
    data, size = path.read_bytes(), len(big).to_bytes(4, "little")
    path.write_bytes(data.replace(size, (4000).to_bytes(4, "little")))
    return path


def h5(edit: Edit) -> Any:
    def lazily(folder: Path) -> Path:
        return keras(net(dense()), weights(edit))(folder)

    return lazily


def swap(make: Callable[[Any], Any]) -> Any:
    """The kernel becomes what `make` puts there."""

    def edit(file: Any) -> None:
        del file["layers/dense/vars/0"]
        make(file)

    return h5(edit)


PLACE = "layers/dense/vars/0"


def external_link(file: Any) -> None:
    import h5py

    file[PLACE] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file: Any) -> None:
    import h5py

    file["elsewhere"] = np.ones((2, 3), np.float32)
    file[PLACE] = h5py.SoftLink("/elsewhere")


def virtual(file: Any) -> None:
    import h5py

    layout = h5py.VirtualLayout((2, 3), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", (2, 3))
    file["layers/dense/vars"].create_virtual_dataset("0", layout)


def cycle(file: Any) -> None:
    file["layers/dense/loop"] = file["layers"]


def references(file: Any) -> None:
    import h5py

    file["layers/dense/vars"].create_dataset("0", data=file["layers"].ref, dtype=h5py.ref_dtype)


def variable_text(file: Any) -> None:
    import h5py

    file[PLACE] = np.array([["a"] * 3] * 2, dtype=h5py.string_dtype())


def legacy(edit: Edit) -> Any:
    """A whole-model `.h5` file of Keras 2."""

    def make(folder: Path) -> Path:
        import h5py

        path = folder / "net.h5"
        config = {
            "name": "net",
            "layers": [
                {
                    "class_name": "Dense",
                    "config": {"name": "d", "units": 3, "activation": "linear", "batch_input_shape": [None, 2]},
                }
            ],
        }
        with h5py.File(path, "w") as file:
            file.attrs["keras_version"], file.attrs["backend"] = "2.11.0", "tensorflow"
            file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config})
            stored = file.create_group("model_weights")
            stored.attrs["layer_names"] = [b"d"]
            group = stored.create_group("d")
            group.attrs["weight_names"] = [b"d/kernel:0", b"d/bias:0"]
            group["d/kernel:0"], group["d/bias:0"] = np.ones((2, 3), np.float32), np.zeros(3, np.float32)
            edit(file)
        return path

    return make


def lambda_layer() -> dict[str, Any]:
    return layer("Lambda", function={"class_name": "__lambda__", "config": {"value": "4wEAAAA="}})


def cases() -> Group:
    group = Group("keras", keras(net(dense())), ("h5py",))
    classes(group)
    archives(group)
    files(group)
    return group


def classes(group: Group) -> None:
    unsafe = layer("function", "keras.config", "function") | {"config": "enable_unsafe_deserialization"}
    named = {
        (78, "Lambda"): lambda_layer(),
        (79, "system"): layer("system", "os", command="touch evil"),
        (79, "run"): layer("run", "kx_trap"),
        (80, "get_file"): layer("get_file", "keras.utils", origin="http://127.0.0.1/x"),
        (81, "function|Lambda"): unsafe,
        (82, "TFSMLayer"): layer("TFSMLayer", filepath="."),
        (83, "StringLookup"): layer("StringLookup", vocabulary="/etc/passwd"),
        (84, "Evil"): layer("Evil", "kx_trap", "kx_trap>Evil"),
        (84, "Dense"): layer("Dense", "kx_trap", "kx_trap>Dense", units=3, name="other"),
    }
    for (number, match), entry in named.items():
        title = f"{entry['module']}.{entry['class_name']}"
        group.add(number, title, keras(net(entry, dense())), "" if number == 81 else match)
    for activation in ("kx_trap.run", {"class_name": "function", "config": "system", "module": "os"}):
        group.add(84, f"activation {activation}", keras(net(dense(activation=activation))), "activation")
    code = {"class_name": "Sequential", "config": {"name": "n", "layers": [lambda_layer()]}}
    change = legacy(lambda file: file.attrs.__setitem__("model_config", json.dumps(code)))
    group.add(78, "Lambda in an old .h5 file", change, "Lambda")


def archives(group: Group) -> None:
    for name in ("../evil", "/etc/evil", "..\\evil", "C:/evil", "a/../../evil"):
        group.add(85, f"member {name}", zipped(lambda archive, name=name: archive.writestr(name, b"")), "leave")
    group.add(85, "link as a member", zipped(linked), "link")
    group.add(85, "bomb", zipped(bomb), "grows")
    group.add(85, "member longer than it says", shortened)
    nested = zipped(lambda archive: archive.writestr("model.weights.zip", b"PK\x03\x04" * 100))
    group.add(85, "archive in an archive", nested, verdict=SAFE)
    many = zipped(lambda archive: [archive.writestr(f"assets/{n}", b"") for n in range(70_000)])
    group.add(85, "70,000 members", many, "10,000")
    group.add(85, "encrypted member", encrypted, "encrypted")
    group.add(85, "two members of one name", zipped(lambda a: a.writestr("config.json", "{}")), "two members")
    group.add(85, "config nested 100,000 deep", keras("[" * 100_000))
    group.add(85, "config a text", keras('"text"'))


def files(group: Group) -> None:
    storage = swap(lambda f: f.create_dataset(PLACE, (2, 3), "f4", external=[("/etc/passwd", 0, 24)]))
    for name, make in {
        "external link": swap(external_link),
        "soft link": swap(soft_link),
        "external storage": storage,
        "virtual dataset": swap(virtual),
    }.items():
        group.add(86, name, make)
    big = {"chunks": (1024, 1024), "compression": "gzip"}
    group.add(87, "10^6 x 10^6, gzip", swap(lambda f: f.create_dataset(PLACE, (10**6, 10**6), "f4", **big)))
    whole = legacy(
        lambda f: (
            f["model_weights/d"].__delitem__("d/kernel:0"),
            f["model_weights/d"].create_dataset("d/kernel:0", (10**6, 10**6), "f4", **big),
        )
    )
    group.add(87, "10^6 x 10^6 in an old .h5 file", whole)
    group.add(88, "cycle of groups", h5(cycle), verdict=SAFE)
    group.add(88, "object reference", swap(references))
    group.add(88, "texts as weights", swap(variable_text))
    group.add(88, "text of 2^28 in an attribute", legacy(lambda f: f.attrs.__setitem__("model_config", "[" * 60_000)))
