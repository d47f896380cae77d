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
