"""Triton's `config.pbtxt`: the part that says how a model is run, read with protobuf's own parser; and written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from kxchange.errors import FormatError, InputError
from kxchange.serving.served import Options, ServedModel
from kxchange.serving.wire_schema import messages

LARGEST = 2**20
"""Bytes of a configuration."""
BACKENDS = ("", "onnxruntime")
PLATFORMS = ("", "onnxruntime_onnx")
TYPE_PREFIX = "TYPE_"


def read_config(path: Path) -> Any:
    """The configuration of a model.

    Raises:
        FormatError: It is not one.
    """
    from google.protobuf import text_format

    if path.stat().st_size > LARGEST:
        raise FormatError(f"{path} is no configuration: it has more than {LARGEST} bytes.")
    try:
        return text_format.Parse(
            path.read_text(encoding="utf-8"), messages()["ModelConfig"](), allow_unknown_field=True
        )
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} is not a model configuration: {str(error)[:300]}.") from error


def apply_config(config: Any, options: Options, name: str) -> Options:
    """The options with what the configuration says of batching and instances.

    Raises:
        InputError: It asks for another runtime.
    """
    if config.backend not in BACKENDS or config.platform not in PLATFORMS:
        raise InputError(
            f"model {name!r} is configured for {config.backend or config.platform!r}; ONNX Runtime is served here."
        )
    if config.HasField("dynamic_batching") and config.max_batch_size > 1:
        delay = int(config.dynamic_batching.max_queue_delay_microseconds)
        options = replace(options, max_batch=config.max_batch_size, max_delay_us=delay)
    count = sum(max(1, group.count) for group in config.instance_group)
    return replace(options, workers=count) if count else options


def config_of(served: ServedModel) -> Any:
    """The configuration that a loaded model is run by."""
    return make_config(
        served.name,
        served.signature,
        max_batch=served.options.max_batch if served.batcher is not None else 0,
        max_delay_us=served.options.max_delay_us,
        instances=served.options.workers,
    )


def config_json(served: ServedModel) -> bytes:
    """The same as JSON, under protobuf's rules: 64-bit numbers are texts."""
    from google.protobuf import json_format

    return json_format.MessageToJson(config_of(served), preserving_proto_field_name=True, indent=None).encode()


def make_config(name: str, signature: Any, *, max_batch: int, max_delay_us: int = 0, instances: int = 1) -> Any:
    """The configuration of a model.

    Args:
        name: Of the model.
        signature: Its inputs and outputs.
        max_batch: Samples that may be joined; from 1 on the shapes are written without their first axis.
        max_delay_us: How long to wait for more.
        instances: Copies run at the same time.
    """
    config = messages()["ModelConfig"](name=name, backend="onnxruntime", max_batch_size=max_batch)
    config.default_model_filename = "model.onnx"
    skipped = 1 if max_batch else 0
    for entries, specs in ((config.input, signature.inputs), (config.output, signature.outputs)):
        for spec in specs.values():
            entry = entries.add(name=spec.name, data_type=f"{TYPE_PREFIX}{spec.datatype}")
            entry.dims.extend(spec.shape[skipped:] or ([1] if max_batch else []))
            if max_batch and len(spec.shape) == 1 and hasattr(entry, "reshape"):
                entry.reshape.SetInParent()
    config.instance_group.add(count=instances, kind="KIND_CPU")
    if max_batch > 1:
        config.dynamic_batching.max_queue_delay_microseconds = max_delay_us
        config.dynamic_batching.SetInParent()
    return config


def config_text(config: Any) -> str:
    """The text of a configuration."""
    from google.protobuf import text_format

    return text_format.MessageToString(config)
