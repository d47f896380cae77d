"""The main job on real trained models: two digit classifiers from torch to `.kx`, and from there to every backend.

Each is captured, saved, loaded again and proven on every installed backend; then every backend classifies the test
images, which no model has seen. Run it with `make demo`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from torch import nn

import kxchange as kx

HERE = Path(__file__).parent / "digits"
OUT = Path("demo-output")
sys.path.insert(0, str(HERE))

from data import load  # noqa: E402
from models import MODELS  # noqa: E402

console = Console()


def trained(name: str) -> nn.Module:
    """The model with its committed weights."""
    module = MODELS[name]()
    module.load_state_dict(load_file(HERE / f"{name}.safetensors"))
    return module.eval()


def convert(name: str, module: nn.Module) -> tuple[kx.Model, list[Path]]:
    """Torch -> `.kx` -> ONNX, and back to torch: the parameters keep their names and bytes."""
    model = kx.capture(module, torch.rand(2, 1, 8, 8))
    done = kx.convert(model, OUT / f"{name}.kx")
    nodes = sum(node.op != "parameter" for node in model.main.graph.nodes())
    console.print(f"[bold]{name}[/bold]: {nodes} nodes, {len(model.parameters)} parameters")
    console.print(str(done.report))
    files = done.files + kx.save(model, OUT / f"{name}.onnx")
    loaded = kx.load(OUT / f"{name}.kx")
    rebuilt = loaded.to("torch")
    rebuilt.load_state_dict(module.state_dict(), strict=True)
    return loaded, files


def accuracy(model: kx.Model, backend: str, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
    """Share of test images that a backend classifies correctly."""
    outputs = kx.run(model, {"image": images}, backend=backend)
    (logits,) = outputs.values()
    return float((logits.argmax(axis=1) == labels).mean())


def main() -> int:
    """Run the demo; the exit code is 1 if anything was not SAME."""
    start = time.perf_counter()
    OUT.mkdir(exist_ok=True)
    _, images, _, labels = load()
    backends = [name for name, record in kx.converters().items() if record.prepare_verb and not record.missing]
    table = Table("model", "torch (original)", *backends, title="accuracy on 450 unseen test images")
    written: list[Path] = []
    for name in MODELS:
        module = trained(name)
        model, files = convert(name, module)
        written += files
        with torch.no_grad():
            original = float((module(torch.from_numpy(images)).argmax(1).numpy() == labels).mean())
        row = [accuracy(model, backend, images, labels) for backend in backends]
        table.add_row(name, f"{original:.4f}", *(f"{value:.4f}" for value in row))
    console.print(table)
    console.print("wrote " + ", ".join(str(path) for path in written))
    proofs = [kx.load(OUT / f"{name}.kx").evidence[0]["rows"] for name in MODELS]
    same = all(row["verdict"] == "SAME" for rows in proofs for row in rows)
    console.print(
        f"{'every backend SAME' if same else 'NOT the same everywhere'}, in {time.perf_counter() - start:.0f} s"
    )
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
