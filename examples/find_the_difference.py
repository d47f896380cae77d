"""Two models that should be the same: which weight differs, and which node is the first that computes something else?

One is the trained classifier; the other has the epsilon of a batch norm that another framework uses by default.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

import kxchange as kx
from kxchange.validation.against import validate_against

HERE = Path(__file__).parent / "digits"
sys.path.insert(0, str(HERE))

from models import ConvolutionalNetwork  # noqa: E402


def captured(epsilon: float) -> kx.Model:
    """The classifier with another epsilon in its second batch norm."""
    net = ConvolutionalNetwork()
    net.load_state_dict(load_file(HERE / "convolutional.safetensors"))
    net.features[5].eps = epsilon
    return kx.capture(net.eval(), torch.rand(2, 1, 8, 8))


def main() -> int:
    report = validate_against(captured(1e-5), captured(1e-3))
    print(report)
    places = [row.place for row in report.rows if row.place is not None]
    found = any("features.5" in str(place) for place in places)
    print("found: the second batch norm" if found else "not found")
    return 0 if found and not report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
