"""Cases 41 to 62: the architecture document of a `.kx` file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.honest_files import edited, honest_kx, write_header
from hostile.hostile_table import KEEP, REFUSE, SAFE, Group

Change = Callable[[dict[str, Any]], Any]


def document(text: str) -> Any:
    """A container that holds nothing but a document's text."""
    header = write_header({"__metadata__": {"format": "pt", "kx": text}}, b"")

    def make(folder: Path) -> None:
        (folder / "net.kx").write_bytes(header)

    return make


def replaced(old: str, new: str) -> Any:
    """The sound document with a piece of its text replaced."""
    return edited(lambda d: None, text=lambda text: text.replace(old, new, 1))


def main(document: dict[str, Any]) -> dict[str, Any]:
    return document["functions"][0]


def nodes(document: dict[str, Any]) -> list[dict[str, Any]]:
    return main(document)["nodes"]


def linear(document: dict[str, Any]) -> dict[str, Any]:
    return next(node for node in nodes(document) if node["op"] == "linear")


def update(key: str, value: Any) -> Any:
    return edited(lambda d: d.update({key: value}))


def typed(text: str) -> Any:
    """The input's type becomes `text`."""

    def change(document: dict[str, Any]) -> None:
        document["types"][main(document)["inputs"][0]["type"]] = text

    return edited(change)


def giant(op: str, type: str, *, operands: Any = (0,), **attrs: Any) -> Any:
    """A document whose only node makes a huge result of a float32[2] input."""

    def change(document: dict[str, Any]) -> None:
        document["types"] = ["float32[2]", type]
        document["ops"] = {op: 1}
        node = {"op": op, "in": list(operands), "out": [1], "attrs": attrs}
        if not operands:
            del node["in"]
        document["functions"] = [
            main(document) | {"inputs": [{"name": "x", "type": 0}], "nodes": [node], "outputs": [1]}
        ]

    return edited(change)


def flipped(where: str) -> Any:
    """The sound file with one bit changed."""

    def make(folder: Path) -> None:
        path = honest_kx(folder)
        data = bytearray(path.read_bytes())
        length = int.from_bytes(data[:8], "little")
        place = {"data": len(data) - 8, "padding": 8 + length - 3}.get(where) or data.index(where.encode())
        data[place] ^= 1
        path.write_bytes(data)

    return make


def doubled(levels: int) -> Any:
    """Branches that hold branches, the same text on every level."""

    def change(document: dict[str, Any]) -> None:
        body: Any = {"inputs": [{"name": "x", "type": 0}], "nodes": [], "outputs": [0]}
        for _ in range(levels):
            node = {"op": "cond", "in": [0, 0], "out": [0], "attrs": {"branches": [{"graph": body}, {"graph": body}]}}
            body = {"inputs": [{"name": "x", "type": 0}], "nodes": [node], "outputs": [1]}
        document["types"], document["ops"] = ["bool"], {"cond": 1}
        main(document).update(body)

    return edited(change)


def cases() -> Group:
    group = Group("document", honest_kx)
    for part in (json_cases, version_cases, graph_cases, type_cases, table_cases, text_cases, size_cases):
        part(group)
    return group


def json_cases(group: Group) -> None:
    group.add(41, "brackets a million deep", document("[" * 10**6), "nesting|above the limit")
    group.add(42, "10 MB of lists", document("[" + "[]," * 3_300_000 + "[]]"), "above the limit")
    for literal in ("NaN", "Infinity", "-Infinity", "1e999", "1.5"):
        group.add(43, literal, replaced('"ext":{}', f'"ext":{{"x-a":{literal}}}'), "only integers")
    group.add(44, "integer of 10^7 digits", document('{"kx":1' + "0" * 10**7 + "}"), "2\\^53")


def version_cases(group: Group) -> None:
    def rename(document: dict[str, Any]) -> None:
        linear(document)["op"] = "linear_evil"

    group.add(45, "unknown op", edited(rename), "linear_evil")
    group.add(45, "unknown op in the table", edited(lambda d: d["ops"].update(evil=1)), "evil")
    group.add(45, "op that is an attribute of Python", edited(lambda d: linear(d).update(op="__class__")), "__class__")
    group.add(46, "newer version of an op", edited(lambda d: d["ops"].update(linear=99)), "version 99")
    for version in (0, -1, "1", None, True, 10**15):
        shown = repr(version)
        group.add(46, f"version {shown} of an op", edited(lambda d, v=version: d["ops"].update(linear=v)), "version")
    group.add(47, "unknown feature", edited(lambda d: d["features"].append("warp-drive")), "warp-drive")
    group.add(48, "newer reader needed", update("min_reader", 2), "version 2")
    group.add(48, "newer minor", update("kx", 2), verdict=KEEP)
    group.add(48, "version 0", update("kx", 0), "version")
    group.add(48, "version true", update("kx", True), "kx document")
    group.add(48, "unknown member", update("warp", 1), "warp")
    group.add(48, "unknown member under ext", edited(lambda d: d["ext"].update({"x-warp": [1]})), verdict=KEEP)
    group.add(59, "no integrity, feature declared", edited(lambda d: d.pop("integrity") and None), "integrity")
    group.add(59, "integrity without hashes", edited(lambda d: d["integrity"].pop("tensors") and None), "integrity")
    group.add(59, "integrity without the id", edited(lambda d: d["integrity"].pop("model_id") and None), "integrity")
    group.add(59, "integrity not declared", edited(lambda d: d.update(features=[])), "integrity")


def graph_cases(group: Group) -> None:
    def forward(document: dict[str, Any]) -> None:
        linear(document)["in"][0] = 99

    def itself(document: dict[str, Any]) -> None:
        nodes(document)[-1]["in"] = [1 + len(nodes(document)) - 1]

    group.add(49, "a node reads itself", edited(itself), "no earlier node")
    group.add(49, "a node reads a later one", edited(forward), "no earlier node")
    group.add(50, "a function calls itself", edited(lambda d: linear(d).update(op="main")), "main")
    group.add(51, "branches doubled 16 deep", doubled(16), verdict=SAFE)
    group.add(51, "branches doubled 13 deep", doubled(13), verdict=SAFE)
    group.add(52, "value -1", edited(lambda d: linear(d)["in"].__setitem__(0, -1)), "no earlier node")
    group.add(52, "value true", edited(lambda d: linear(d)["in"].__setitem__(0, True)), "no earlier node")
    group.add(52, "output that nothing makes", edited(lambda d: main(d).update(outputs=[99])), "no earlier node")
    group.add(52, "function twice", edited(lambda d: d["functions"].append(main(d))), "twice")
    group.add(52, "parameter twice", edited(lambda d: d["parameters"].append(d["parameters"][0])), "twice")
    group.add(52, "output name twice", edited(lambda d: main(d).update(output_names=["y", "y"])), "name")
    absent = {"name": "ghost", "role": "parameter", "trainable": True, "type": "float32[4]"}
    group.add(53, "parameter without a tensor", edited(lambda d: d["parameters"].append(absent)), "ghost")
    group.add(53, "tensor without a parameter", edited(unused), "mask")
    group.add(53, "constant without a tensor", edited(missing_constant), "ghost")


def unused(document: dict[str, Any]) -> None:
    document["parameters"] = [entry for entry in document["parameters"] if entry["name"] != "mask"]


def missing_constant(document: dict[str, Any]) -> None:
    document["metadata"] = {}
    document["provenance"] = {"map": {"x": {"constant": "float32[99]", "tensor": "ghost"}}}


def type_cases(group: Group) -> None:
    def restated(document: dict[str, Any]) -> None:
        document["parameters"][0]["type"] = "float32[2, 8]"

    def lying(document: dict[str, Any]) -> None:
        document["types"].append("float32[7, 7]")
        nodes(document)[-1]["out"] = [len(document["types"]) - 1]

    group.add(54, "shape other than the table's", edited(restated), "float32")
    group.add(54, "result type a lie", edited(lying), "stated to give")
    group.add(55, "negative dim", typed("float32[-1, 4]"), "dim|type|nonneg|negative|malformed")
    group.add(55, "huge coefficient", typed(f"float32[b*{10**18}, 4]"), verdict=SAFE)
    group.add(55, "power tower", typed("float32[((b**8)**8)**8, 4]"), verdict=SAFE)
    group.add(55, "division by zero", typed("float32[b//0, 4]"), "zero|malformed|divi")
    group.add(55, "product of sums", typed("float32[" + "*".join(["(a+b+c+d)"] * 60) + ", 4]"), verdict=SAFE)
    group.add(55, "nested max", typed("float32[" + "max(a, " * 300 + "1" + ")" * 300 + ", 4]"), verdict=SAFE)
    group.add(55, "code as a dim", typed("float32[__import__('kx_trap'), 4]"), "malformed|dim|type")
    group.add(55, "contradiction", edited(contradiction), verdict=SAFE, action="run")
    group.add(55, "malformed constraint", update("constraints", [["evil", "b", 1, "x"]]), "malformed")
    group.add(55, "dim of 2^60", typed(f"float32[{2**60}, 4]"), "stated to give|dim|limit")
    group.add(56, "attribute of 65 bits", edited(lambda d: linear(d).update(attrs={"x": f"u64:{2**64}"})), "65 bits")
    group.add(56, "attribute of the wrong type", edited(lambda d: linear(d).update(attrs={"a": "x"})), "linear")
    group.add(56, "list of 10^6", edited(lambda d: linear(d).update(attrs={"x": [0] * 10**6})), "65,536")
    group.add(56, "graph as an attribute", edited(lambda d: linear(d).update(attrs={"x": {"graph": {}}})), "linear")


def contradiction(document: dict[str, Any]) -> None:
    document["constraints"] = [
        {"kind": "at_least", "left": "batch", "right": 5, "reason": "given"},
        {"kind": "at_most", "left": "batch", "right": 3, "reason": "given"},
    ]


def table_cases(group: Group) -> None:
    def alias(of: str, **more: Any) -> Change:
        def change(document: dict[str, Any]) -> None:
            entry = next(entry for entry in document["parameters"] if entry["name"] == "tied")
            entry.update(alias_of=of, **more)

        return change

    group.add(57, "alias of itself", edited(alias("tied")), "alias")
    group.add(57, "alias of nothing", edited(alias("ghost")), "alias")
    group.add(57, "alias with a type of its own", edited(alias("w", type="float32[2, 8]")), "tied")
    group.add(57, "role unknown", edited(lambda d: d["parameters"][0].update(role="root")), "root")
    group.add(57, "trainable a text", edited(lambda d: d["parameters"][0].update(trainable="no")), "trainable")
    group.add(57, "unknown field", edited(lambda d: d["parameters"][0].update(evil=1)), "evil")
    for where in ("data", "padding", "float32[4", "MIT", '"F32"', "trainable"):
        group.add(58, f"bit flipped in {where}", flipped(where), action="verify")


def named(key: str, text: str) -> Any:
    """Metadata and the function's name become `text`."""

    def change(document: dict[str, Any]) -> None:
        document["metadata"][key] = text
        main(document)["name"] = text

    return edited(change)


def text_cases(group: Group) -> None:
    for text in ("/etc/passwd", "http://example.org/x", "%n%s{0.__class__}", "$(touch evil)", "__import__('kx_trap')"):
        group.add(60, f"text {text}", named(text, text), verdict=KEEP, action="run")
    hostile = "\x1b[2J<script>\u202e\u2066|\r\x07"
    group.add(61, "controls in names", named(hostile, hostile), verdict=KEEP, action="inspect")
    group.add(61, "controls in an op", edited(lambda d: linear(d).update(op="a\x1b[2J")), "^[^\x1b]*$")
    group.add(61, "controls in a type", typed("float32[\x1b[2J]"), "^[^\x1b]*$")


def size_cases(group: Group) -> None:
    huge = 2**40
    giants = {
        "broadcast": giant("broadcast_to", f"float32[{huge}, 2]", shape=[huge, 2]),
        "arange": giant("arange", f"int64[{huge}]", operands=(), stop=huge, dtype={"dtype": "int64"}),
        "full": giant("full", f"float32[{huge}]", operands=(), shape=[huge], value=0, dtype={"dtype": "float32"}),
        "pad": giant("pad", f"float32[{huge + 2}]", pads=[[0, huge]]),
        "tile": giant("tile", f"float32[{2 * huge}]", repetitions=[huge]),
        "repeat": giant("repeat", f"float32[{2 * huge}]", repeats=huge, axis=0),
        "eye": giant("eye", f"float32[{2**24}, {2**24}]", operands=(), n_rows=2**24, dtype={"dtype": "float32"}),
    }
    for name, make in giants.items():
        group.add(62, name, make, verdict=REFUSE, action="run")
