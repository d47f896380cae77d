"""JAX, Flax and Equinox: functions and modules in, a params pytree and pure functions out."""

from __future__ import annotations

from kxchange.converter import Converter

flax = Converter(
    name="flax",
    requires=("jax", "flax"),
    extra="jax",
    build_verb="kxchange_jax.flax_build:build",
    save_verb="kxchange_jax.save:save",
)

converter = Converter(
    name="jax",
    requires=("jax",),
    captures=(
        "flax.linen.module.Module",
        "flax.nnx.module.Module",
        "equinox._module._module.Module",
        "equinox._module.Module",
        "kxchange_jax.jax_model.JaxModel",
        "jaxlib._jax.ArrayImpl",
    ),
    sniff="kxchange_jax.folder:sniff",
    load_verb="kxchange_jax.load:load",
    save_verb="kxchange_jax.save:save",
    build_verb="kxchange_jax.build:build",
    capture_verb="kxchange_jax.capture:capture",
    prepare_verb="kxchange_jax.prepare:prepare",
    supports_verb="kxchange_jax.lower:supports",
    source_verb="kxchange_jax.source:run_source",
    tensor_verb="kxchange_jax.source:to_tensor",
    gradients_verb="kxchange_jax.gradients:gradients",
    weights_verb="kxchange_jax.checking:held_weights",
    forms=(flax,),
)
