"""The protocol's protobuf messages, built from a table in a pool of their own.

A pool of their own: a process may hold another copy of the protocol (a client's), and two of one name cannot share one.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

PACKAGE: Final = "inference"

SERVICE: Final[dict[str, str]] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live=1:bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready=1:bool",
    "ModelReadyRequest": "name=1:string version=2:string",
    "ModelReadyResponse": "ready=1:bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name=1:string version=2:string extensions=3:string*",
    "ModelMetadataRequest": "name=1:string version=2:string",
    "TensorMetadata": "name=1:string datatype=2:string shape=3:int64*",
    "ModelMetadataResponse": (
        "name=1:string versions=2:string* platform=3:string inputs=4:TensorMetadata* outputs=5:TensorMetadata*"
    ),
    "InferParameter": (
        "bool_param=1:bool? int64_param=2:int64? string_param=3:string? double_param=4:double? uint64_param=5:uint64?"
    ),
    "InferTensorContents": (
        "bool_contents=1:bool* int_contents=2:int32* int64_contents=3:int64* uint_contents=4:uint32* "
        "uint64_contents=5:uint64* fp32_contents=6:float* fp64_contents=7:double* bytes_contents=8:bytes*"
    ),
    "InferInputTensor": (
        "name=1:string datatype=2:string shape=3:int64* parameters=4:InferParameter% contents=5:InferTensorContents"
    ),
    "InferRequestedOutputTensor": "name=1:string parameters=2:InferParameter%",
    "ModelInferRequest": (
        "model_name=1:string model_version=2:string id=3:string parameters=4:InferParameter% "
        "inputs=5:InferInputTensor* outputs=6:InferRequestedOutputTensor* raw_input_contents=7:bytes*"
    ),
    "InferOutputTensor": (
        "name=1:string datatype=2:string shape=3:int64* parameters=4:InferParameter% contents=5:InferTensorContents"
    ),
    "ModelInferResponse": (
        "model_name=1:string model_version=2:string id=3:string parameters=4:InferParameter% "
        "outputs=5:InferOutputTensor* raw_output_contents=6:bytes*"
    ),
    "ModelRepositoryParameter": "bool_param=1:bool? int64_param=2:int64? string_param=3:string? bytes_param=4:bytes?",
    "RepositoryIndexRequest": "repository_name=1:string ready=2:bool",
    "ModelIndex": "name=1:string version=2:string state=3:string reason=4:string",
    "RepositoryIndexResponse": "models=1:ModelIndex*",
    "RepositoryModelLoadRequest": "repository_name=1:string model_name=2:string parameters=3:ModelRepositoryParameter%",
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": (
        "repository_name=1:string model_name=2:string parameters=3:ModelRepositoryParameter%"
    ),
    "RepositoryModelUnloadResponse": "",
    "ModelStatisticsRequest": "name=1:string version=2:string",
    "StatisticDuration": "count=1:uint64 ns=2:uint64",
    "InferStatistics": (
        "success=1:StatisticDuration fail=2:StatisticDuration queue=3:StatisticDuration "
        "compute_input=4:StatisticDuration compute_infer=5:StatisticDuration compute_output=6:StatisticDuration "
        "cache_hit=7:StatisticDuration cache_miss=8:StatisticDuration"
    ),
    "InferBatchStatistics": (
        "batch_size=1:uint64 compute_input=2:StatisticDuration compute_infer=3:StatisticDuration "
        "compute_output=4:StatisticDuration"
    ),
    "ModelStatistics": (
        "name=1:string version=2:string last_inference=3:uint64 inference_count=4:uint64 execution_count=5:uint64 "
        "inference_stats=6:InferStatistics batch_stats=7:InferBatchStatistics*"
    ),
    "ModelStatisticsResponse": "model_stats=1:ModelStatistics*",
    # The part of Triton's model configuration that is read and written here; what else a file says is skipped.
    "ModelTensorReshape": "shape=1:int64*",
    "ModelInput": "name=1:string data_type=2:DataType dims=4:int64* reshape=5:ModelTensorReshape",
    "ModelOutput": "name=1:string data_type=2:DataType dims=3:int64* label_filename=4:string",
    "ModelInstanceGroup": "name=1:string count=2:int32 kind=4:Kind",
    "ModelDynamicBatching": "preferred_batch_size=1:int32* max_queue_delay_microseconds=2:uint64",
    "ModelConfig": (
        "name=1:string platform=2:string backend=17:string max_batch_size=4:int32 input=5:ModelInput* "
        "output=6:ModelOutput* default_model_filename=8:string instance_group=7:ModelInstanceGroup* "
        "dynamic_batching=11:ModelDynamicBatching"
    ),
    "ModelConfigRequest": "name=1:string version=2:string",
    "ModelConfigResponse": "config=1:ModelConfig",
}
"""Message -> fields as ``name=number:type``; ``*`` repeated, ``%`` the value of a map from text, ``?`` one of many."""

ENUMS: Final[dict[str, tuple[str, ...]]] = {
    "DataType": (
        "TYPE_INVALID", "TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64", "TYPE_INT8",
        "TYPE_INT16", "TYPE_INT32", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32", "TYPE_FP64", "TYPE_STRING", "TYPE_BF16",
    ),
    "Kind": ("KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"),
}  # fmt: skip
METHODS: Final = (
    "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer", "ModelConfig",
    "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload",
)  # fmt: skip
"""The service's calls that are answered; each takes ``<name>Request`` and gives ``<name>Response``."""


@cache
def messages() -> dict[str, Any]:
    """The message classes by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file: Any = descriptor_pb2.FileDescriptorProto(name="kxchange_inference.proto", package=PACKAGE, syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in SERVICE.items():
        message = file.message_type.add(name=name)
        for field in fields.split():
            add_field(message, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"{PACKAGE}.{name}") for name in SERVICE}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


def add_field(message: Any, text: str) -> None:
    """One field of the table."""
    name, _, rest = text.partition("=")
    number, _, type = rest.partition(":")
    field = message.field.add(name=name, number=int(number))
    field.label = field.LABEL_OPTIONAL
    if type[-1] in "*%":
        field.label = field.LABEL_REPEATED
    if type[-1] == "%":
        # protobuf's own way to write a map: a nested message of key and value.
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        add_field(entry, "key=1:string")
        add_field(entry, f"value=2:{type[:-1]}")
        field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{message.name}.{entry.name}"
        return
    if type[-1] == "?":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    set_type(field, type.rstrip("*?"))


def set_type(field: Any, type: str) -> None:
    """The type of a field: one of protobuf's, an enum or a message."""
    if type in ENUMS:
        field.type, field.type_name = field.TYPE_ENUM, f".{PACKAGE}.{type}"
    elif type in SERVICE:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{type}"
    else:
        field.type = getattr(field, f"TYPE_{type.upper()}")
