"""Operators that are known and have no lift, each with its reason."""

from __future__ import annotations

from kxchange_onnx.lift import MICROSOFT, ML, lift

STRINGS = "kxchange has no string tensors"
RANDOM = "what it gives is random: bind it to an input, or take it out of the model"
TRAINING = "it is a step of training, not part of a model"
REASONS: dict[tuple[str, str], str] = {
    **dict.fromkeys([("", n) for n in ("StringConcat", "StringSplit", "StringNormalizer", "RegexFullMatch")], STRINGS),
    **dict.fromkeys([("", n) for n in ("TfIdfVectorizer",)], "it counts n-grams, which no op here does"),
    **dict.fromkeys([(ML, n) for n in ("CategoryMapper", "DictVectorizer", "CastMap")], STRINGS),
    **dict.fromkeys(
        [
            ("", n)
            for n in (
                "RandomNormal",
                "RandomNormalLike",
                "RandomUniform",
                "RandomUniformLike",
                "Multinomial",
                "Bernoulli",
            )
        ],
        RANDOM,
    ),
    **dict.fromkeys([("ai.onnx.preview.training", n) for n in ("Adagrad", "Adam", "Gradient", "Momentum")], TRAINING),
    ("", "ImageDecoder"): "it decodes image files",
    (MICROSOFT, "DynamicQuantizeLSTM"): (
        "it quantizes its state anew at every step, by ranges that depend on how ONNX Runtime shares the batch out; "
        "quantize the model without LSTM among op_types_to_quantize"
    ),
}


lift.refusals |= REASONS
