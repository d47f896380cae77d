"""Handing a model over to what runs on more than one machine: Triton, KServe, Ray Serve. Clients do not change."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from kxchange import __version__
from kxchange.errors import InputError
from kxchange.format.atomic import atomic_write_bytes
from kxchange.serving.limits import Limits
from kxchange.serving.prepared import GRAPH, RECORD, SERVED, file_digest, prepare
from kxchange.serving.repository import CONFIG, NAME, VERSION
from kxchange.serving.served import Options, ServedModel
from kxchange.serving.triton_config import config_text, make_config

TARGETS = ("triton", "kserve", "ray")
KUBERNETES = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
RAY_APP = Path(__file__).with_name("ray_app.py")


def deploy(
    source: Path, to: str, folder: Path, *, name: str = "", version: str = "1", max_batch: int = 0, replicas: int = 2
) -> list[Path]:
    """Write what another system serves a model from. The model is proven first, as before serving it here.

    Args:
        source: Any model file.
        to: ``triton``, ``kserve`` or ``ray``.
        folder: Where to; what is there of the same name and version is replaced.
        name: Of the model; the file's where empty.
        version: A number.
        max_batch: Samples that may be joined; 0: never. Only where the proof of batching holds.
        replicas: Copies to begin with, for KServe and Ray.

    Returns:
        The files written.

    Raises:
        InputError: The name, version or target is not one.
        MismatchError: The self-test is not SAME.
    """
    name = name or source.name.split(".")[0]
    if not NAME.fullmatch(name) or not VERSION.fullmatch(version):
        raise InputError(f"{name!r} version {version!r} cannot be served: a name has letters, digits and '._-'.")
    if to not in TARGETS:
        raise InputError(f"there is no target {to!r}; there are {', '.join(TARGETS)}.")
    files = prepare(source)
    served = ServedModel.load(name, version, files, Options(limits=Limits(), max_batch=max_batch))
    try:
        written = write_repository(served, files.kx, files.onnx, folder)
    finally:
        served.close()
    if to == "kserve":
        written.append(write(folder / f"{name}.yaml", inference_service(name, replicas)))
    if to == "ray":
        settings = {"name": name, "repository": ".", "replicas": replicas}
        written.append(write(folder / "settings.json", json.dumps(settings, indent=2) + "\n"))
        written.append(write(folder / "app.py", RAY_APP.read_text(encoding="utf-8")))
    return written


def write_repository(served: ServedModel, kx: Path, onnx: Path, folder: Path) -> list[Path]:
    """The model as Triton wants it, with the proof beside it: `kx serve` takes the folder too, and compares.

    Raises:
        InputError: The weights lie outside the ONNX file.
    """
    target = folder / served.name / served.version
    target.mkdir(parents=True, exist_ok=True)
    outside = onnx.with_name(f"{onnx.name}.data")
    files = [(onnx, SERVED), (kx, GRAPH)] + ([(outside, outside.name)] if outside.exists() else [])
    for path, file in files:
        shutil.copyfile(path, target / file)
    batched = served.options.max_batch if served.batcher is not None else 0
    config = make_config(served.name, served.signature, max_batch=batched)
    record = {"sha256": file_digest(onnx), "kxchange": __version__, "self_test": proof(served)}
    return [
        *(target / file for _, file in files),
        write(target / RECORD, json.dumps(record, indent=2) + "\n"),
        write(folder / served.name / CONFIG, config_text(config)),
    ]


def proof(served: ServedModel) -> Any:
    """The self-test as JSON."""
    return served.proof.to_json() if served.proof is not None else None


def write(path: Path, text: str) -> Path:
    """One text file, whole or not at all."""
    atomic_write_bytes(path, text.encode())
    return path


def inference_service(name: str, replicas: int) -> str:
    """A KServe manifest as YAML. The name is checked against what Kubernetes and YAML take as it is.

    Raises:
        InputError: The name is not one for Kubernetes.
    """
    if not KUBERNETES.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of an InferenceService: use a-z, 0-9 and '-'. Give another with --name."
        )
    return f"""apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: "{name}"
spec:
  predictor:
    minReplicas: {replicas}
    model:
      modelFormat:
        name: triton
      protocolVersion: v2
      # Put the folder {name!r} that was written beside this file there.
      storageUri: "pvc://models/"
"""
