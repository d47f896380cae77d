"""One function of a model as a `jax.export` artifact: dicts of arrays by name in and out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax import export

from kxchange.dims import evaluate
from kxchange.errors import BuildError
from kxchange.model import Model
from kxchange.validation.cases import feasible_sizes
from kxchange_jax.dims_out import symbolic_inputs
from kxchange_jax.jax_model import Apply, JaxModel
from kxchange_jax.private import wide_integers
from kxchange_jax.trees import nest

PLATFORMS = ("cpu", "cuda", "tpu")


def own_parameters(model: Model) -> dict[str, Any]:
    """The arrays that the model holds, without the further names of tied ones."""
    return {name: entry.array for name, entry in model.parameters.items() if entry.alias_of is None}


def export_function(model: Model, built: JaxModel, name: str, platforms: Sequence[str] = PLATFORMS) -> export.Exported:
    """``call(params, inputs) -> outputs``, with the sizes of the model's dims left open.

    Raises:
        BuildError: JAX cannot export it, or it does not give the inferred shapes at two sizes.
    """
    apply = built.functions[name]
    specs = {key: jax.ShapeDtypeStruct(x.shape, x.dtype) for key, x in own_parameters(model).items()}
    with wide_integers():
        try:
            inputs = symbolic_inputs(model, apply.function)
            exported = export.export(jax.jit(by_name(apply)), platforms=list(platforms))(specs, inputs)
        except Exception as error:
            reason = " ".join(str(error).split())[:400]
            raise BuildError(
                f"jax cannot export function {name!r} for {', '.join(platforms)}: {type(error).__name__}: {reason}. "
                "Fewer platforms can be named: platforms=('cpu',)."
            ) from error
        for sizes in feasible_sizes(model, apply.function)[:2]:
            _check(exported, apply, specs, sizes)
    return exported


def by_name(apply: Apply) -> Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]:
    """The function of flat dicts by name."""

    def call(params: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        tree = nest({apply.places[name].path: array for name, array in params.items()})
        outputs = apply.outputs(tree, [inputs[name] for name in apply.function.input_names])
        return dict(zip(apply.function.output_names, outputs, strict=True))

    return call


def _check(exported: export.Exported, apply: Apply, specs: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    types = apply.function.input_types.items()
    inputs = {n: jax.ShapeDtypeStruct(tuple(evaluate(d, sizes) for d in t.shape), t.dtype.numpy) for n, t in types}
    found = jax.eval_shape(exported.call, specs, inputs)
    for name, type in apply.function.output_types.items():
        wanted = tuple(evaluate(dim, sizes) for dim in type.shape)
        if found[name].shape != wanted or found[name].dtype != type.dtype.numpy:
            raise BuildError(
                f"the exported output {name!r} is {found[name].dtype}{list(found[name].shape)} at {dict(sizes)}, where "
                f"{type} is inferred. This is an error in kxchange_jax; please report it."
            )


def is_wide(model: Model) -> bool:
    """Whether a 64-bit type goes in or out."""
    types = [entry.type for entry in model.parameters.values()]
    for function in model.functions.values():
        types += [*function.input_types.values(), *function.output_types.values()]
    return any(type.dtype.bits == 64 and not type.dtype.is_complex for type in types)
