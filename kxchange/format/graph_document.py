"""A graph as JSON: nodes in order, each operand the number of an earlier value; and back, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from kxchange.errors import FormatError, KxchangeError
from kxchange.format.attributes import AttributeReader, AttributeWriter
from kxchange.format.limits import MAX_NODES, check_limit
from kxchange.format.names import shown
from kxchange.format.records import check_type, fields_of, parse_type, texts
from kxchange.graph import LEAVES, PROVENANCE, Graph, Node, Source, Value
from kxchange.model import Array
from kxchange.spec import REGISTRY
from kxchange.types import TensorType

FRESH = frozenset({"nonzero", "unique"})
"""Ops whose result types hold symbols of their own, which are read from the file and not inferred again."""
NODE_KEYS = frozenset({"op", "in", "attrs", "out", "name", "source"})


class Interner:
    """Numbers distinct entries in order of first use."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def number(self, entry: Any) -> int:
        """The number of `entry`."""
        return self.numbers.setdefault(entry, len(self.numbers))


class GraphWriter:
    """Encodes the graphs of one model over shared tables of types and sources."""

    def __init__(self, taken: frozenset[str]) -> None:
        self.types = Interner()
        self.sources = Interner()
        self.paths = Interner()
        self.attributes = AttributeWriter(self.write, taken)
        self.ops: dict[str, int] = {}
        self._checked: set[TensorType] = set()

    def write(self, graph: Graph) -> dict[str, Any]:
        """One graph: inputs, nodes, outputs."""
        numbers: dict[Node, int] = {}
        count = 0
        inputs: list[dict[str, Any]] = []
        for value in graph.inputs:
            numbers[value.node] = count
            count += 1
            inputs.append({"name": value.node.attrs["name"], "type": self._type(value.type, value.node)})
        nodes: list[dict[str, Any]] = []
        for node in graph.nodes():
            nodes.append(self._node(node, numbers))
            numbers[node] = count
            count += len(node.types)
        return {"inputs": inputs, "nodes": nodes, "outputs": [numbers[v.node] + v.index for v in graph.outputs]}

    def _node(self, node: Node, numbers: Mapping[Node, int]) -> dict[str, Any]:
        record: dict[str, Any] = {"op": node.op, "out": [self._type(type, node) for type in node.types]}
        if node.op not in LEAVES:
            self.ops[node.op] = REGISTRY[node.op].version
        if node.inputs:
            record["in"] = [None if v is None else numbers[v.node] + v.index for v in node.inputs]
        if node.attrs:
            record["attrs"] = {name: self.attributes.encode(value) for name, value in node.attrs.items()}
        if node.name and node.name != node.attrs.get("name"):
            record["name"] = node.name
        if node.source is not None:
            place = (node.source.file, node.source.line, self.paths.number(node.source.path))
            record["source"] = self.sources.number(place)
        return record

    def _type(self, type: TensorType, node: Node) -> int:
        if type not in self._checked:
            check_type(type, f"Cannot write {node.where}")
            self._checked.add(type)
        return self.types.number(str(type))

    def tables(self) -> dict[str, Any]:
        """What the nodes refer to by number."""
        return {
            "types": list(self.types.numbers),
            "sources": [list(place) for place in self.sources.numbers],
            "paths": list(self.paths.numbers),
            "ops": dict(sorted(self.ops.items())),
        }


class GraphReader:
    """Decodes graphs: every op known, every operand defined before its use, every type inferred again."""

    def __init__(self, tables: Mapping[str, Any], read_tensor: Callable[[str, TensorType], Array], source: str) -> None:
        self.file = source
        self.types = [parse_type(text, f"{source}: type {number}") for number, text in enumerate(tables["types"])]
        if len(set(self.types)) != len(self.types):
            raise FormatError(f"{source}: the table of types holds one type twice.")
        paths = texts(tables["paths"], f"{source}: paths")
        self.sources = [_place(place, paths, source) for place in tables["sources"]]
        self.attributes = AttributeReader(self.read, read_tensor, source)
        self.count = 0
        self.ops: Mapping[str, int] = tables["ops"]
        for op, version in self.ops.items():
            if type(version) is not int or version < 1:
                raise FormatError(f"{source}: op {shown(op)} has the version {shown(version)}; it is a number from 1.")
            if op not in REGISTRY or REGISTRY[op].version < version:
                known = (
                    f"this kxchange knows version {REGISTRY[op].version}" if op in REGISTRY else "it is unknown here"
                )
                raise FormatError(f"{source} uses op {shown(op)} version {version}: {known}. Update kxchange.")

    def read(self, document: Any) -> Graph:
        """One graph."""
        inputs = tuple(self._input(record) for record in document["inputs"])
        values: list[Value] = list(inputs)
        for number, record in enumerate(document["nodes"]):
            self.count += 1
            check_limit(self.count, MAX_NODES, f"{self.file}: nodes")
            try:
                values.extend(self._node(record, values).outputs)
            except (KxchangeError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                raise FormatError(f"{self.file}: node {number} ({shown(record.get('op'))}): {error}") from None
        return Graph(inputs, tuple(self._operand(number, values, "an output") for number in document["outputs"]))

    def _input(self, record: Any) -> Value:
        fields_of(record, {"name": str, "type": int}, f"{self.file}: an input")
        return Value(Node("input", (), {"name": record["name"]}, (self._type(record["type"]),), record["name"]))

    def _node(self, record: dict[str, Any], values: list[Value]) -> Node:
        if unknown := record.keys() - NODE_KEYS:
            raise FormatError(f"a node has no field {shown(sorted(unknown)[0])}")
        operands = tuple(None if n is None else self._operand(n, values, "an operand") for n in record.get("in", ()))
        attrs = {name: self.attributes.decode(value) for name, value in record.get("attrs", {}).items()}
        stated = tuple(self._type(number) for number in record["out"])
        name, source, op = record.get("name", ""), self._source(record), record["op"]
        if not isinstance(name, str) or not isinstance(op, str):
            raise FormatError("the op and the name of a node are texts")
        if op in LEAVES:
            return self._leaf(op, attrs, stated, name, source)
        if op not in REGISTRY:
            raise FormatError(f"the op {shown(op)} is unknown here. Update kxchange.")
        if op not in self.ops:
            raise FormatError(f"the table of ops states no version of {shown(op)}.")
        node = self._emit(op, operands, attrs, name, source)
        if node.types != stated:
            if op not in FRESH or [t.dtype for t in node.types] != [t.dtype for t in stated]:
                raise FormatError(f"it is stated to give {_listed(stated)}, but the op gives {_listed(node.types)}")
            node = Node(op, node.inputs, node.attrs, stated, name, source, node.constraints)
        return node

    def _emit(
        self, op: str, operands: tuple[Value | None, ...], attrs: dict[str, Any], name: str, source: Source | None
    ) -> Node:
        PROVENANCE.name, PROVENANCE.source = name, source
        try:
            return REGISTRY[op].emit(operands, attrs)
        finally:
            PROVENANCE.name, PROVENANCE.source = "", None

    def _leaf(
        self, op: str, attrs: dict[str, Any], types: tuple[TensorType, ...], name: str, source: Source | None
    ) -> Node:
        if op != "parameter" or list(attrs) != ["name"] or not isinstance(attrs["name"], str) or len(types) != 1:
            raise FormatError(f"a leaf {shown(op)} must be a parameter with a name and one type")
        return Node(op, (), attrs, types, name or attrs["name"], source)

    def _operand(self, number: Any, values: list[Value], what: str) -> Value:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(values):
            raise FormatError(f"{what} is value {shown(number)}, which no earlier node produces")
        return values[number]

    def _type(self, number: Any) -> TensorType:
        if type(number) is not int or not 0 <= number < len(self.types):
            raise FormatError(f"{self.file}: there is no type number {shown(number)}.")
        return self.types[number]

    def _source(self, record: Mapping[str, Any]) -> Source | None:
        number = record.get("source")
        if number is None:
            return None
        if type(number) is not int or not 0 <= number < len(self.sources):
            raise FormatError(f"there is no source number {shown(number)}")
        return self.sources[number]


def _place(record: Any, paths: list[str], source: str) -> Source:
    file, line, path = record
    if not isinstance(file, str) or type(line) is not int or type(path) is not int or not 0 <= path < len(paths):
        raise FormatError(f"{source}: {shown(record)} is no source: a file, a line and the number of a path.")
    return Source(file, line, paths[path])


def _listed(types: tuple[TensorType, ...]) -> str:
    return ", ".join(map(str, types))


def read_tables(document: Any, source: str) -> Mapping[str, Any]:
    """The interned tables of a document, checked for their form."""
    tables = cast("Mapping[str, Any]", document)
    for key, kind in (("types", list), ("sources", list), ("paths", list), ("ops", dict)):
        if not isinstance(tables.get(key), kind):
            raise FormatError(f"{source}: the document's {key!r} is missing or malformed.")
    return tables
