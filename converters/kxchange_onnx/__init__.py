"""ONNX: models as `ModelProto` and `.onnx` files, run by ONNX Runtime."""

from __future__ import annotations

from kxchange.converter import Converter, Variant

converter = Converter(
    name="onnx",
    requires=("onnx", "onnx_ir", "onnxruntime"),
    suffixes=(".onnx",),
    captures=("onnx.onnx_ml_pb2.ModelProto", "onnx_ir.Model", "onnx_ir._core.Model"),
    sniff="kxchange_onnx.sniff:sniff",
    load_verb="kxchange_onnx.load:load",
    save_verb="kxchange_onnx.save:save",
    build_verb="kxchange_onnx.build:build",
    capture_verb="kxchange_onnx.capture:capture",
    prepare_verb="kxchange_onnx.prepare:prepare",
    weights_verb="kxchange_onnx.weights:held_weights",
    supports_verb="kxchange_onnx.lower:expresses",
    run_file_verb="kxchange_onnx.run_file:run_file",
    variants=(Variant(), Variant("unoptimized", options={"optimize": False})),
)
