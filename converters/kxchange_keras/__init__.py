"""Keras: files of every version in, without Keras; live models in."""

from __future__ import annotations

from kxchange.converter import Converter, Variant

converter = Converter(
    name="keras",
    requires=("keras", "h5py"),
    load_requires=("h5py",),
    captures=("keras.src.layers.layer.Layer", "keras.src.models.model.Model"),
    sniff="kxchange_keras.sniffing:sniff",
    load_verb="kxchange_keras.load:load",
    save_verb="kxchange_keras.save:save",
    build_verb="kxchange_keras.build:build",
    prepare_verb="kxchange_keras.prepare:prepare",
    weights_verb="kxchange_keras.build:held_weights",
    supports_verb="kxchange_keras.lower:supports",
    legalize_verb="kxchange_keras.layout_out:legal",
    gradients_verb="kxchange_keras.gradients:gradients",
    suffixes=(".keras",),
    capture_verb="kxchange_keras.capture:capture",
    source_verb="kxchange_keras.source:run_source",
    tensor_verb="kxchange_keras.source:to_tensor",
    variants=(
        Variant(),
        Variant("tensorflow", environment={"KERAS_BACKEND": "tensorflow"}, requires=("tensorflow",)),
        Variant("jax", environment={"KERAS_BACKEND": "jax"}, requires=("jax",)),
        Variant("torch", environment={"KERAS_BACKEND": "torch"}, requires=("torch",)),
    ),
)
