"""Cases 91 to 94: ONNX."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.hostile_table import SAFE, Group


def model(nodes: list[Any], initializers: Any = (), *, functions: Any = (), domains: Any = ()) -> Any:
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], list(initializers))
    imports = [helper.make_opsetid("", 18), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=10)


def node(op: str, inputs: str, outputs: str, **attrs: Any) -> Any:
    from onnx import helper

    return helper.make_node(op, inputs.split(), outputs.split(), **attrs)


def external(location: str, *extra: tuple[str, str], **fields: Any) -> Any:
    from onnx import TensorProto

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 2], data_location=TensorProto.EXTERNAL)
    for key, value in [("location", location), *fields.items(), *extra]:
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def proto(make: Callable[[], Any]) -> Any:
    def write(folder: Path) -> Path:
        (folder / "net.onnx").write_bytes(make().SerializeToString())
        return folder / "net.onnx"

    return write


def honest(folder: Path) -> Path:
    return beside(lambda: external("w.bin"))(folder)


def beside(tensor: Callable[[], Any]) -> Any:
    """A model below the folder, its weights beside it and outside of it."""

    def write(folder: Path) -> Path:
        inner = folder / "inner"
        (inner / "sub").mkdir(parents=True)
        for place in (folder, inner):
            (place / "w.bin").write_bytes(bytes(64))
        return proto(lambda: model([node("Add", "x w", "y")], [tensor()]))(inner)

    return write


def placed(put: Callable[[Path, Path], Any], location: str = "v.bin") -> Any:
    """`put(target outside, place inside)` makes what the model points to."""

    def write(folder: Path) -> Path:
        path = beside(lambda: external(location))(folder)
        put(folder / "w.bin", path.parent / location.split("/")[0])
        return path

    return write


def cases() -> Group:
    group = Group("onnx", honest, ("onnx",))
    for location in ("../w.bin", "a/../../w.bin", "sub/../../w.bin", "/etc/hostname", "", "C:\\w.bin", "..\\w.bin"):
        group.add(91, f"location {location!r}", beside(lambda location=location: external(location)), "'w'")
    places: dict[str, Any] = {
        "symbolic link": placed(lambda target, place: place.symlink_to(target)),
        "linked folder": placed(lambda target, place: place.symlink_to(target.parent), "d/w.bin"),
        "hard link": placed(lambda target, place: os.link(target, place)),
        "device": placed(lambda target, place: place.symlink_to("/dev/zero")),
        "named pipe": placed(lambda target, place: os.mkfifo(place)),
        "folder": placed(lambda target, place: place.mkdir()),
    }
    for name, make in places.items():
        group.add(91, name, make, "'w'")
    for fields in (
        {"offset": -4},
        {"offset": 2**63},
        {"offset": 2**62},
        {"length": -1},
        {"length": 2**63},
        {"offset": 60},
    ):
        group.add(92, f"{fields}", beside(lambda fields=fields: external("w.bin", **fields)), "'w'")
    group.add(92, "unknown key", beside(lambda: external("w.bin", ("evil", "1"))), "unknown")
    group.add(92, "location twice", beside(lambda: external("w.bin", ("location", "../w.bin"))), "twice")
    group.add(92, "memory marker", beside(lambda: external("*/_ORT_MEM_ADDR_/*", offset=4096)), "'w'")
    group.add(92, "NUL in the location", beside(lambda: external("w.bin\0x")), "'w'")
    group.add(92, "wrong checksum", beside(lambda: external("w.bin", checksum="0" * 40)), "checksum")
    sparse(group)
    graphs(group)
    return group


def sparse(group: Group) -> None:
    def values() -> Any:
        import onnx

        return onnx.SparseTensorProto(values=external("../w.bin"), dims=[2, 2])

    def initializer() -> Any:
        made = model([node("Add", "x w", "y")])
        made.graph.sparse_initializer.append(values())
        return made

    constant = proto(lambda: model([node("Constant", "", "w", sparse_value=values()), node("Add", "x w", "y")]))
    group.add(93, "sparse initializer outside", proto(initializer))
    group.add(93, "sparse constant outside", constant)
    dense = proto(lambda: model([node("Constant", "", "w", value=external("../w.bin")), node("Add", "x w", "y")]))
    group.add(93, "constant outside", dense)


def graphs(group: Group) -> None:
    group.add(94, "functions that call each other", proto(recursive), "calls itself")
    group.add(94, "functions that double 40 times", proto(doubling), "more than")
    group.add(94, "branches 25 deep", proto(lambda: branches(25)), verdict=SAFE)
    group.add(94, "messages nested 100,000 deep", deep)
    group.add(94, "text of 64 MB", proto(lambda: model([node("Relu", "x", "y", evil="a" * 2**26)])))
    group.add(94, "ConstantOfShape of 2^40", proto(huge), "bytes|elements|limit|budget", action="run")
    group.add(
        94, "cycle", proto(lambda: model([node("Relu", "b", "a"), node("Relu", "a", "b"), node("Add", "a x", "y")]))
    )
    group.add(94, "unknown operator", proto(lambda: model([node("KxTrap", "x", "y", domain="kx_trap")])), "KxTrap")


def function(name: str, body: list[Any]) -> Any:
    from onnx import helper

    imports = [helper.make_opsetid("own", 1), helper.make_opsetid("", 18)]
    return helper.make_function("own", name, ["a"], ["b"], body, imports)


def recursive() -> Any:
    functions = [function("F", [node("G", "a", "b", domain="own")]), function("G", [node("F", "a", "b", domain="own")])]
    return model([node("F", "x", "y", domain="own")], functions=functions, domains=("own",))


def doubling() -> Any:
    functions = [function("F40", [node("Relu", "a", "b")])]
    for level in range(40):
        body = [node(f"F{level + 1}", "a", "t", domain="own"), node(f"F{level + 1}", "t", "b", domain="own")]
        functions.append(function(f"F{level}", body))
    return model([node("F0", "x", "y", domain="own")], functions=functions, domains=("own",))


def branches(depth: int) -> Any:
    """An If in an If, and so on, each with a second branch."""
    from onnx import TensorProto, helper

    out = [helper.make_tensor_value_info("b", TensorProto.FLOAT, [2, 2])]
    body = [node("Relu", "x", "b")]
    for _ in range(depth):
        taken = helper.make_graph(body, "taken", [], out)
        other = helper.make_graph([node("Neg", "x", "b")], "other", [], out)
        flag = helper.make_tensor("c", TensorProto.BOOL, [], [True])
        body = [node("Constant", "", "c", value=flag), node("If", "c", "b", then_branch=taken, else_branch=other)]
    return model([*body, node("Relu", "b", "y")])


def deep(folder: Path) -> Path:
    """Graph attributes nested without end, written by hand: ModelProto.graph.node.attribute.g..."""
    from hostile.tensorflow_cases import block, varint

    sizes, size = [], 0
    for number in [6, 5, 1] * 33_000:
        header = varint(number << 3 | 2) + varint(size)
        sizes.append(header)
        size += len(header)
    body = b"".join(reversed(sizes))
    (folder / "net.onnx").write_bytes(
        varint(8) + varint(10) + block(7, body) + block(8, block(1, "") + varint(16) + varint(18))
    )
    return folder / "net.onnx"


def huge() -> Any:
    from onnx import TensorProto, helper

    shape = helper.make_tensor("s", TensorProto.INT64, [1], [2**40])
    nodes = [node("ConstantOfShape", "s", "c"), node("ReduceSum", "c", "t", keepdims=0), node("Add", "x t", "y")]
    return model(nodes, [shape])
