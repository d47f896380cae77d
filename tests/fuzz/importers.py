"""Seeds of the files that converters read beside the formats of whole models, and how they are opened."""

from __future__ import annotations

import atexit
import io
import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kxchange.errors import KxchangeError

Files = dict[str, bytes]


def weights(files: Files, path: Path) -> str:
    """Read every tensor of a file or folder of weights; every refusal is an error of kxchange."""
    from kxchange.weight_files import read_weights

    try:
        for entry in read_weights(path).values():
            _ = entry.array.dtype
    except KxchangeError:
        return "refused"
    return "loaded"


def arrays(files: Files, path: Path) -> str:
    """Read recorded inputs."""
    from kxchange.validation.cases import read_samples

    try:
        read_samples(path)
    except KxchangeError:
        return "refused"
    return "loaded"


def state() -> dict[str, Any]:
    """Tensors of several types, one of them a view."""
    import torch

    table = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    tensors = {"w": table, "view": table[1:, :2], "half": table.to(torch.bfloat16), "flags": table > 3}
    return {**tensors, "step": torch.tensor(7), "nested": {"a.b": table.double()}}


def torch_seeds(folder: Path) -> list[Files]:
    """State dicts as archive and as stream, and TorchScript."""
    import torch

    for name, zipped in (("archive.pt", True), ("stream.pt", False)):
        torch.save(state(), folder / name, _use_new_zipfile_serialization=zipped)
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 3), torch.zeros(4, 2)), folder / "script.pt")
    return [{path.name: path.read_bytes()} for path in sorted(folder.glob("*.pt"))]


@cache
def exported() -> bytes:
    """An artifact of `jax.export` with a symbolic size, a loop, a convolution and a reduction."""
    import jax
    import jax.numpy as jnp
    from jax import export, lax

    def network(params: Any, x: Any) -> Any:
        y = jax.nn.softmax(x @ params["w"] + params["b"])
        y = lax.fori_loop(0, 3, lambda i, c: c * 0.5 + y, y)
        return {"y": y[:, ::-1].reshape(-1), "best": jnp.argmax(y, -1), "sorted": jnp.sort(jnp.take(y, 1, axis=1))}

    (batch,) = export.symbolic_shape("batch")
    shapes = {"w": (3, 4), "b": (4,)}
    specs = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()}
    return bytes(
        export.export(jax.jit(network), platforms=["cpu"])(
            specs, jax.ShapeDtypeStruct((batch, 3), np.float32)
        ).serialize()
    )


def jax_seeds(folder: Path) -> list[Files]:
    """The artifact."""
    artifact_child()
    return [{"net.bin": exported()}]


@cache
def artifact_child() -> None:
    """One child for all artifacts of this process: to start one for each would be most of the work."""
    from kxchange_jax.artifact_parser import one_child

    holder = one_child()
    holder.__enter__()
    atexit.register(holder.__exit__, None, None, None)


def msgpack_seeds(folder: Path) -> list[Files]:
    """Parameters as Flax packs them."""
    from flax import serialization

    tree = {"dense": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3, np.float16)}}
    return [{"net.msgpack": serialization.to_bytes({**tree, "step": 3, "scale": np.float32(0.5)})}]


def hub_seeds(folder: Path) -> list[Files]:
    """Weights in shards, as the Hugging Face hub lays them out; and one file alone."""
    from safetensors.numpy import save

    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    shards = {"a-1.safetensors": {"w": table, "b": table[0]}, "a-2.safetensors": {"c": table.astype(np.int64)}}
    held = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    index = json.dumps({"metadata": {"total_size": 160}, "weight_map": held}).encode()
    stored = {name: save(tensors) for name, tensors in shards.items()}
    return [{"model.safetensors.index.json": index, **stored}, {"a-1.safetensors": stored["a-1.safetensors"]}]


def npz_seeds(folder: Path) -> list[Files]:
    """Arrays, stored and deflated."""
    found: list[Files] = []
    for write in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        write(buffer, **{"0/x": np.arange(6.0).reshape(2, 3), "0/ids": np.arange(4), "1/x": np.zeros((0, 3))})
        found.append({"in.npz": buffer.getvalue()})
    return found


def old_keras_seeds(folder: Path) -> list[Files]:
    """An HDF5 file as Keras 2 wrote it, and one of layers with chunks, filters and more attributes."""
    import h5py
    from hostile import keras_cases

    path = keras_cases.legacy(lambda file: None)(folder)
    plain = path.read_bytes()
    with h5py.File(path, "r+") as file:
        file.attrs["notes"] = [f"note {number}" for number in range(40)]
        file.create_dataset("extra", data=np.zeros((8, 8)), chunks=(4, 4), compression="gzip", shuffle=True)
    return [{path.name: plain}, {path.name: path.read_bytes()}]


def new_keras_seeds(folder: Path) -> list[Files]:
    """The archive of Keras 3."""
    from hostile import keras_cases

    path = keras_cases.keras(keras_cases.net(keras_cases.dense()))(folder)
    return [{path.name: path.read_bytes()}]


def rezipped(members: dict[str, bytes]) -> bytes:
    """An archive of members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return buffer.getvalue()
