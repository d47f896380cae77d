"""Private interfaces of ONNX Runtime that are used, each with a test that names it."""

from __future__ import annotations

from functools import cache

from onnxruntime.capi import onnxruntime_pybind11_state as state  # pyright: ignore[reportAttributeAccessIssue]


@cache
def runtime_opset() -> int:
    """The newest opset of the default domain that the installed ONNX Runtime has schemas for."""
    return max(schema.since_version for schema in state.get_all_operator_schema() if schema.domain == "")


@cache
def kernel_versions() -> dict[str, list[tuple[int, int]]]:
    """First and last op version that each CPU kernel of the default domain takes, by op."""
    versions: dict[str, list[tuple[int, int]]] = {}
    for kernel in state.get_all_opkernel_def():
        if not kernel.domain and "CPU" in kernel.provider:
            versions.setdefault(kernel.op_name, []).append(kernel.version_range)
    return versions


def kernel_types(op_type: str) -> dict[str, frozenset[str]]:
    """Element types per type constraint that the newest CPU kernels of an op are registered with."""
    found = [k for k in state.get_all_opkernel_def() if k.op_name == op_type and not k.domain and "CPU" in k.provider]
    newest = max((kernel.version_range[0] for kernel in found), default=0)
    types: dict[str, frozenset[str]] = {}
    for kernel in found:
        if kernel.version_range[0] == newest:
            for name, given in kernel.type_constraints.items():
                types[name] = types.get(name, frozenset()) | frozenset(t[7:-1] for t in given)
    return types
