"""TensorFlow: models from SavedModels, frozen graphs and `.tflite` files; `tf.Module` and SavedModels out of them."""

from __future__ import annotations

from kxchange.converter import Converter

converter = Converter(
    name="tensorflow",
    requires=("tensorflow",),
    load_requires=(),
    suffixes=(".tflite",),
    captures=(
        "tensorflow.python.module.module.Module",
        "tensorflow.python.eager.polymorphic_function.polymorphic_function.Function",
        "tensorflow.python.eager.polymorphic_function.concrete_function.ConcreteFunction",
    ),
    sniff="kxchange_tensorflow.sniff:sniff",
    load_verb="kxchange_tensorflow.load:load",
    save_verb="kxchange_tensorflow.save:save",
    build_verb="kxchange_tensorflow.build:build",
    capture_verb="kxchange_tensorflow.capture:capture",
    prepare_verb="kxchange_tensorflow.prepare:prepare",
    source_verb="kxchange_tensorflow.source:run_source",
    tensor_verb="kxchange_tensorflow.source:tensor",
    weights_verb="kxchange_tensorflow.build:held_weights",
    supports_verb="kxchange_tensorflow.lower:supports",
    legalize_verb="kxchange_tensorflow.build:legal",
    gradients_verb="kxchange_tensorflow.gradients:gradients",
    run_file_verb="kxchange_tensorflow.run_file:run_file",
)
