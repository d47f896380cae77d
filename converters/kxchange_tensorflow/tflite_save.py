"""Models as `.tflite` files, written by TensorFlow's own converter."""

from __future__ import annotations

import logging
from pathlib import Path

import tensorflow as tf

from kxchange.errors import BuildError
from kxchange.format.atomic import atomic_write_bytes
from kxchange.model import Model
from kxchange_tensorflow.build import build


def save(model: Model, path: Path, *, function: str | None = None) -> list[Path]:
    """Write one function of a model for the TFLite (LiteRT) interpreter, with builtin operators only.

    Weights are inside, in the types of the model. Open sizes stay open: the interpreter resizes its inputs.

    Args:
        model: What to write.
        path: The `.tflite` file.
        function: Which entry point; by default the main one.

    Raises:
        BuildError: TFLite has no operators for some part of the model; the message has the converter's own reasons.
        WriteError: The file cannot be written; a previous one is intact.
    """
    name = function or next(key for key, value in model.functions.items() if value is model.main)
    built = build(model, function=name)
    concrete = built.functions[name].compiled.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], built)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        data = converter.convert()
    except Exception as error:  # the converter's own types of error differ from version to version
        reasons = [
            line.strip() for line in str(error).splitlines() if line.strip().startswith(("tf.", "TF Select", "Custom"))
        ]
        raise BuildError(
            f"TFLite cannot take the function {name!r}: {'; '.join(reasons[:6]) or str(error)[:500]}. "
            "Save it as a SavedModel or as .onnx instead."
        ) from error
    finally:
        logger.setLevel(level)
    atomic_write_bytes(path, data)
    return [Path(path)]
