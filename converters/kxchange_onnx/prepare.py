"""Run models in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kxchange.converter import Runner
from kxchange.errors import InputError
from kxchange.inputs import InputBinder
from kxchange.model import Array, Model
from kxchange_onnx.graph_out import lower_model
from kxchange_onnx.narrow_run import run_wide
from kxchange_onnx.session import open_session


def prepare(
    model: Model,
    *,
    function: str | None = None,
    opset: int | None = None,
    optimize: bool = True,
    threads: int | None = None,
) -> Runner:
    """A runner of one function in ONNX Runtime on the CPU: arrays by input name in, arrays by output name out.

    Ops of bfloat16 that ONNX Runtime has no kernel for are run in float32, and their results are rounded.

    Args:
        model: What to run.
        function: Which entry point; the main one where None.
        opset: Version of the operator set to go through.
        optimize: Whether ONNX Runtime may rewrite the graph.
        threads: Threads per node; ONNX Runtime's choice where None.

    Raises:
        UnsupportedOpError: An op cannot be written in the opset, or ONNX Runtime has no kernel for its types.
    """
    chosen = model.function(function)
    lowered = lower_model(model, opset=opset, function=function)
    run_wide(lowered)
    session = open_session(lowered, optimize=optimize, threads=threads)
    bind = InputBinder(model, function)
    names = [str(value.name) for value in lowered.graph.inputs]
    dtypes = [value.dtype for value in chosen.graph.outputs]

    def run(inputs: Mapping[str, Any]) -> dict[str, Array]:
        arrays, _ = bind(inputs)
        try:
            results = session.run(dict(zip(names, arrays, strict=True)), dtypes)
        except Exception as error:  # ONNX Runtime's own exceptions share no public base class
            raise InputError(f"ONNX Runtime cannot run the model on these inputs: {str(error)[:1000]}") from error
        return dict(zip(chosen.output_names, results, strict=True))

    return run
