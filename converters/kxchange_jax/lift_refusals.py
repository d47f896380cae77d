"""Primitives that no graph can hold, each refused with its reason and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange_jax.lift import lift, refuse

FOREIGN = "it calls back into Python or into foreign code, which no graph holds. Remove the call"
DEVICES = "it exchanges data between devices or names a mesh. Capture the function of one device, without its mapping"
KERNEL = "it is a kernel for one kind of device. Capture the same function written with jax.numpy"
MUTABLE = "it reads or writes a mutable array. Return new arrays instead"
DRAWN = "each device draws other numbers with it; draw with jax.random and its default keys"
REASONS = {
    **dict.fromkeys(("debug_callback", "debug_print", "io_callback", "pure_callback"), FOREIGN),
    **dict.fromkeys(("ffi_call", "custom_partitioning", "xla_call_module", "tpu_custom_call", "check"), FOREIGN),
    **dict.fromkeys(("psum2", "psum_invariant", "pgather", "ppermute", "axis_index"), DEVICES),
    **dict.fromkeys(
        ("all_gather", "all_gather_invariant", "all_to_all", "reduce_scatter", "ragged_all_to_all"), DEVICES
    ),
    **dict.fromkeys(("shard_map", "xla_pmap", "pbroadcast", "reshard", "mesh_cast"), DEVICES),
    **dict.fromkeys(("pallas_call", "triton_kernel_call", "mosaic_gpu"), KERNEL),
    **dict.fromkeys(("new_ref", "ref_new", "get", "swap", "addupdate", "freeze", "ref_get", "ref_set"), MUTABLE),
    **dict.fromkeys(("rng_bit_generator", "rng_uniform"), DRAWN),
}


def _collective(op: Callable[..., Value]) -> Any:
    """A collective over a mapped axis, which `vmap` has made an axis of the operands; over devices there is none."""

    def rule(*xs: Value, axes: tuple[Any, ...], axis_index_groups: Any = None, **_: Any) -> tuple[Value, ...]:
        if axis_index_groups is not None or not all(isinstance(axis, int) for axis in axes):
            refuse(DEVICES)
        return tuple(op(x, axis=axes) for x in xs)

    return rule


for _name, _op in {"psum": ops.sum, "pmax": ops.max, "pmin": ops.min}.items():
    lift.rule(_name)(_collective(_op))


def _refusal(reason: str) -> Any:
    def rule(*_operands: Value, **_: Any) -> Value:
        refuse(reason)

    return rule


for _name, _reason in REASONS.items():
    lift.rule(_name)(_refusal(_reason))
