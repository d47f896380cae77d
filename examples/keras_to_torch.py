"""A Keras file as a PyTorch module: `python examples/keras_to_torch.py [FILE]`. Keras is not needed to read it."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import kxchange as kx

SAMPLE = Path(__file__).parent.parent / "tests" / "data" / "keras2" / "conv.h5"


def main(path: str = str(SAMPLE)) -> int:
    model = kx.load(path)
    module = model.to("torch")
    print(module)
    for name, value in module.state_dict().items():
        print(f"  {name}: {tuple(value.shape)}")
    sizes = dict.fromkeys(model.dims, 9)
    inputs = [
        torch.rand([dim if isinstance(dim, int) else sizes[str(dim)] for dim in type.shape])
        for type in model.main.input_types.values()
    ]
    with torch.no_grad():
        print("output:", tuple(module(*inputs).shape))
    report = kx.validate(model, backends=["torch"])
    print(report)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
