"""A written `.pt2` file in torch itself, with nothing of kxchange between the two."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from kxchange.converter import Runner
from kxchange.errors import InputError
from kxchange.model import Array, Model
from kxchange_torch.dtypes import to_array, to_tensor
from kxchange_torch.private import leaves_with_path
from kxchange_torch.save import nested


def run_file(path: Path, model: Model, *, function: str | None = None) -> Runner:
    """A runner of the file, opened with `torch.export.load`.

    Only for files that this process wrote: torch's loader is not made for files of unknown origin.

    Args:
        path: The file.
        model: For the names of inputs and outputs.
        function: Which entry point of the model the file holds.
    """
    chosen = model.function(function)
    module = torch.export.load(path).module()

    def run(inputs: Mapping[str, Any]) -> dict[str, Array]:
        tensors = [to_tensor(inputs[name], copy=True) for name in chosen.input_names]
        with torch.no_grad():
            outputs = module(*nested(chosen, tensors))
        found = [leaf for _, leaf in leaves_with_path(outputs) if isinstance(leaf, torch.Tensor)]
        if len(found) != len(chosen.output_names):
            raise InputError(f"the file gives {len(found)} outputs where the model has {len(chosen.output_names)}.")
        return dict(zip(chosen.output_names, map(to_array, found), strict=True))

    return run
