"""The graph of a `.pt2` program, built from its JSON under names of our own."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn

from kxchange.errors import FormatError
from kxchange_torch.private import schema_of
from kxchange_torch.pt2_operators import operator_of
from kxchange_torch.pt2_sizes import Pt2Sizes
from kxchange_torch.pt2_tensors import DTYPES, NAME

MAX_DEPTH = 32
LAYOUTS = {7: torch.strided}
MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
FRAME = re.compile(r'File "([^"\n]{1,1000})", line (\d{1,9})')
ONE = ("as_tensor", "as_sym_int", "as_sym_float", "as_sym_bool")
PLAIN = {"as_int": int, "as_float": float, "as_bool": bool, "as_string": str}
LISTS = {"as_ints": int, "as_floats": float, "as_bools": bool, "as_strings": str}


class Pt2Graph:
    """Builds one graph; sub-graphs of branches and loops become modules of `root`.

    Names from the file only say which value is meant: every node is called x and a number, because torch writes source
    from the names of nodes.

    Attributes:
        graph: What was built.
        placeholders: One node per input.
        nodes: Node by the file's name of its value.
        unknown: Operators that are not on the list, with the lines of their nodes.
    """

    def __init__(self, record: Mapping[str, Any], sizes: Pt2Sizes, root: nn.Module, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise FormatError(f"the program nests graphs more than {MAX_DEPTH} deep.")
        self.record, self.sizes, self.root, self.depth = record, sizes, root, depth
        self.graph = fx.Graph()
        self.nodes: dict[str, fx.Node] = {}
        self.unknown: dict[str, list[str]] = {}
        self._count = 0
        self.placeholders = [self._placeholder(item) for item in record["inputs"]]
        for item in record["nodes"]:
            self._node(item)
        outputs = [self.argument(item) for item in record["outputs"]]
        single = record.get("is_single_tensor_return") and len(outputs) == 1
        node = self.graph.output(outputs[0] if single else tuple(outputs))
        node.meta["val"] = fx.map_arg(node.args[0], lambda value: value.meta.get("val"))

    def argument(self, record: Mapping[str, Any]) -> Any:
        """An argument: a node, a plain value, or a list of them.

        Raises:
            FormatError: It is of a kind that no tensor program has, such as a custom object.
        """
        kind, value = _union(record)
        if kind == "as_none":
            return None
        if kind in PLAIN:
            return _of_type(value, PLAIN[kind])
        if kind in LISTS:
            return [_of_type(item, LISTS[kind]) for item in value]
        reader = self._readers().get(kind)
        if reader is None:
            raise FormatError(f"the program passes an argument of kind {kind!r}, which kxchange does not read.")
        return reader(value)

    def _readers(self) -> Mapping[str, Callable[[Any], Any]]:
        one, several = self._named, self._several
        return {
            "as_tensor": one,
            "as_sym_int": one,
            "as_sym_float": one,
            "as_sym_bool": one,
            "as_tensors": several,
            "as_sym_ints": several,
            "as_sym_floats": several,
            "as_sym_bools": several,
            "as_optional_tensor": self.argument,
            "as_optional_tensors": lambda items: [self.argument(item) for item in items],
            "as_int_lists": lambda rows: [[_of_type(item, int) for item in row] for row in rows],
            "as_float_lists": lambda rows: [[_of_type(item, float) for item in row] for row in rows],
            "as_nested_tensors": lambda rows: [several(row) for row in rows],
            "as_scalar_type": lambda number: _listed(DTYPES, number, "element type"),
            "as_memory_format": lambda number: _listed(MEMORY_FORMATS, number, "memory format"),
            "as_layout": lambda number: _listed(LAYOUTS, number, "layout"),
            "as_device": lambda _: torch.device("cpu"),
            "as_complex": lambda parts: complex(_of_type(parts["real"], float), _of_type(parts["imag"], float)),
            "as_graph": self._subgraph,
        }

    def _several(self, items: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [self._named(item) for item in items]

    def _named(self, record: Mapping[str, Any]) -> Any:
        """A value by name; a number where one stands in a list of symbolic ones."""
        for key in ("as_int", "as_float", "as_bool"):
            if key in record:
                return _of_type(record[key], PLAIN[key])
        name = _name_in(record)
        if name not in self.nodes:
            raise FormatError(f"the program reads {str(name)[:80]!r} before anything computes it.")
        return self.nodes[name]

    def _subgraph(self, record: Mapping[str, Any]) -> fx.Node:
        module = nn.Module()
        inner = Pt2Graph(record["graph"], self.sizes, module, self.depth + 1)
        for target, places in inner.unknown.items():
            self.unknown.setdefault(target, []).extend(places)
        attribute = f"graph_{len(list(self.root.children()))}"
        self.root.add_module(attribute, fx.GraphModule(module, inner.graph))
        return self.graph.create_node("get_attr", attribute, name=self._fresh())

    def _placeholder(self, record: Mapping[str, Any]) -> fx.Node:
        fresh = self._fresh()
        node = self.graph.create_node("placeholder", fresh, name=fresh)
        kind, value = _union(record)
        if kind in ONE:
            self._define(_name_in(value), node)
        else:
            node.meta["val"] = self.argument(record)
        return node

    def _node(self, record: Mapping[str, Any]) -> None:
        meta = _metadata(record.get("metadata") or {})
        target = operator_of(record["target"])
        if target is None:
            place = FRAME.search(meta.get("stack_trace", ""))
            self.unknown.setdefault(str(record["target"])[:200], []).append(place[1] + ":" + place[2] if place else "")
            target = _nothing
        args, kwargs = ((), {}) if target is _nothing else self._arguments(target, record["inputs"])
        node = self.graph.create_node("call_function", target, args, kwargs, name=self._fresh())
        node.meta.update(meta)
        self._outputs(node, record)

    def _arguments(self, target: Any, inputs: Sequence[Mapping[str, Any]]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments in their order; by name only where the operator's own signature has the name."""
        schema = {a.name: a for a in schema_of(target).arguments} if isinstance(target, torch._ops.OpOverload) else None
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for item in inputs:
            name, value = item["name"], self.argument(item["arg"])
            if schema is None:
                args.append(value)
            elif name not in schema:
                raise FormatError(f"the program passes {str(name)[:80]!r} to {target}, which takes no such argument.")
            elif not schema[name].kwarg_only and list(schema)[len(args)] == name:
                args.append(value)
            else:
                kwargs[name] = value
        return tuple(args), kwargs

    def _outputs(self, node: fx.Node, record: Mapping[str, Any]) -> None:
        outputs = record["outputs"]
        kinds = [_union(output) for output in outputs]
        packed = record.get("is_hop_single_tensor_return") is False
        if len(kinds) == 1 and not packed and kinds[0][0] in (*ONE, "as_none"):
            if kinds[0][0] != "as_none":
                self._define(_name_in(kinds[0][1]), node)
        elif len(kinds) == 1 and kinds[0][0] == "as_tensors":
            self._items(node, [("as_tensor", item) for item in kinds[0][1]])
        elif kinds:
            self._items(node, kinds)

    def _items(self, node: fx.Node, kinds: Sequence[tuple[str, Any]]) -> None:
        """A `getitem` for every member of a result that is a tuple."""
        values: list[Any] = []
        for index, (kind, value) in enumerate(kinds):
            item = self.graph.create_node("call_function", operator.getitem, (node, index), name=self._fresh())
            item.meta.update({key: node.meta[key] for key in ("stack_trace", "nn_module_stack") if key in node.meta})
            if kind == "as_tensors":
                self._items(item, [("as_tensor", member) for member in value])
            elif kind in ONE:
                self._define(_name_in(value), item)
            elif kind != "as_none":
                raise FormatError(f"the program has a result of kind {kind!r}, which kxchange does not read.")
            values.append(item.meta.get("val"))
        node.meta["val"] = tuple(values)

    def _define(self, name: Any, node: fx.Node) -> None:
        if not isinstance(name, str) or name in self.nodes:
            raise FormatError(f"the program computes {str(name)[:80]!r} twice.")
        self.nodes[name] = node
        if name in self.record["tensor_values"]:
            node.meta["val"] = self.sizes.tensor(self.record["tensor_values"][name])
            return
        for kind in ("sym_int_values", "sym_float_values", "sym_bool_values"):
            if name in self.record.get(kind, {}):
                node.meta["val"] = self.sizes.size(self.record[kind][name])
                return
        raise FormatError(f"the program does not say what {name[:80]!r} is.")

    def _fresh(self) -> str:
        self._count += 1
        return f"x{self._count}"


def _nothing(*_: Any) -> None:
    """Stands for an operator that is not on the list; a graph that has it is never lifted."""


def _union(record: Any) -> tuple[str, Any]:
    if not isinstance(record, Mapping) or len(record) != 1:
        raise FormatError(f"the program has {str(record)[:80]!r} where one value of a named kind belongs.")
    return next(iter(record.items()))


def _name_in(record: Any) -> Any:
    return record.get("name", record.get("as_name")) if isinstance(record, Mapping) else None


def _of_type(value: Any, kind: type) -> Any:
    if kind is float and (type(value) is int or value in ("Infinity", "-Infinity", "NaN")):
        return float(value)
    if type(value) is not kind:
        raise FormatError(f"the program has {str(value)[:80]!r} where a {kind.__name__} belongs.")
    return value


def _listed(table: Mapping[int, Any], number: Any, what: str) -> Any:
    if number not in table:
        raise FormatError(f"the program names the {what} {str(number)[:40]}, which kxchange does not know.")
    return table[number]


def _metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    """Line and module of a node. Paths lose their folders: nothing of this machine is looked up by them."""
    meta: dict[str, Any] = {"nn_module_stack": {}}
    frames = FRAME.findall(str(record.get("stack_trace", ""))[:20_000])
    if frames:
        meta["stack_trace"] = "\n".join(f'File "{_without_folders(file)}", line {line}' for file, line in frames)
    innermost = str(record.get("nn_module_stack", "")).rpartition(";")[2].split(",")
    if len(innermost) >= 3 and NAME.fullmatch(innermost[1]):
        meta["nn_module_stack"] = {"module": (innermost[1], "")}
    return meta


def _without_folders(file: str) -> str:
    parts = file.replace("\\", "/").split("/")
    inside = parts[parts.index("site-packages") + 1 :] if "site-packages" in parts else parts[-1:]
    return "/".join(("", "site-packages", *inside))
