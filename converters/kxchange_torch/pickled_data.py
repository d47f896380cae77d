"""Data in a pickle, read without running it: a small machine that knows containers, numbers, text and tensors.

A pickle is a program that names functions to call. Here a name is only text, and a call is looked up in a table of a
dozen meanings; whatever is not in the table is refused by name. Nothing is imported.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

from kxchange.errors import FormatError, LimitError

MAX_OPCODES = 20_000_000
MAX_TEXT = 2**26
"""Characters or bytes of one literal."""
MAX_HANDED = 50_000_000
"""Items handed to calls, in all: the same list handed over again and again would take for ever."""


class Named(NamedTuple):
    """A class or function that the pickle names; text, never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        """The dotted name."""
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Record:
    """An object whose class is not needed to read its fields."""

    kind: Named
    fields: dict[Any, Any] = field(default_factory=dict[Any, Any])


@dataclass(slots=True, eq=False)
class Stored:
    """A tensor as the pickle describes it: a stretch of a storage.

    Attributes:
        storage: What the pickle says of the storage (`persistent` made it).
        offset: First element.
        sizes: Shape.
        strides: Elements from one to the next, by axis.
        dtype: Name of the element type where the tensor has one of its own, else None.
        trainable: Whether it is a parameter that is trained.
    """

    storage: Any
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str | None = None
    trainable: bool = False


def read_pickle(stream: IO[bytes], file: str, persistent: Callable[[Any], Any]) -> Any:
    """The value of one pickle.

    Args:
        stream: Positioned at its first byte; behind its last one afterwards.
        file: Name for messages.
        persistent: Gives the storage for what the pickle says of it.

    Raises:
        FormatError: It is damaged, or names a class or function that is not on the list.
        LimitError: It is longer than any state dict is.
    """
    machine = _Machine(file, persistent)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > MAX_OPCODES:
                raise LimitError(f"{file}: the pickle has more than {MAX_OPCODES:,} instructions.")
            machine.step(opcode.name, argument)
        return machine.stack.pop()
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError, RecursionError) as error:
        raise FormatError(f"{file}: its pickle is damaged ({type(error).__name__}: {str(error)[:100]}).") from None


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self, file: str, persistent: Callable[[Any], Any]) -> None:
        self.file = file
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.handed = 0

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in _LITERALS:
            self.stack.append(self._literal(argument))
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in _NOTHING:
            raise FormatError(f"{self.file}: its pickle uses {name}, which no state dict needs; it was not run.")

    def _literal(self, argument: Any) -> Any:
        if isinstance(argument, str | bytes) and len(argument) > MAX_TEXT:
            raise LimitError(f"{self.file}: its pickle holds a text of {len(argument):,} characters.")
        return argument

    def push(self, item: Any) -> None:
        """Onto the stack as it is once `item` is known: a mark ends stacks."""
        self.stack.append(item)

    def since_mark(self) -> list[Any]:
        """What was pushed since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def named(self, module: Any, name: Any) -> None:
        """Push a name; names of types are all that may stay uncalled."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise FormatError(f"{self.file}: its pickle names a class by something that is no text.")
        self.stack.append(Named(module, name))

    def call(self, _: Any) -> None:
        """`REDUCE`, `NEWOBJ`: a call as the table has it."""
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.made(function, arguments))

    def made(self, function: Any, arguments: Any) -> Any:
        """The value that a call stands for."""
        if not isinstance(function, Named) or not isinstance(arguments, tuple):
            raise FormatError(f"{self.file}: its pickle calls something that it does not name.")
        self.handed += sum(len(item) for item in arguments if isinstance(item, list | dict | set | tuple | str | bytes))
        if self.handed > MAX_HANDED:
            raise LimitError(f"{self.file}: its pickle copies more than {MAX_HANDED:,} items.")
        if function == _OF_A_SUBCLASS and len(arguments) == 4:
            return self.made(arguments[0], arguments[2])
        if function in _CALLS:
            return _CALLS[function](*arguments)
        if function in _RECORDS or function.module.split(".")[0] == "__torch__":
            return Record(function)
        raise FormatError(
            f"{self.file} is a pickle that would call {str(function)[:100]!r}, and a state dict needs no such call: it "
            "holds a whole object, or was made to do harm. Nothing was run. If you trust it, load it yourself and save "
            "module.state_dict() alone, best with safetensors."
        )

    def build(self, _: Any) -> None:
        """`BUILD`: fields of a record; what is set on a container beside its items is dropped."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], Mapping):
            state = state[0]
        if isinstance(target, Record) and isinstance(state, Mapping):
            target.fields.update(state)

    def put_items(self, items: list[Any]) -> None:
        """Key, value, key, value ... into the dict on top."""
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise FormatError(f"{self.file}: its pickle puts items into something that is no dict.")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def put_new(self, items: list[Any]) -> None:
        """`DICT`."""
        self.push({})
        self.put_items(items)

    def remember(self, place: Any) -> None:
        """`PUT`."""
        self.memo[int(place)] = self.stack[-1]

    def mark(self, _: Any) -> None:
        """`MARK`."""
        self.marks.append(self.stack)
        self.stack = []


def _key(key: Any) -> Any:
    """A key that hashes: text, numbers and tuples are themselves, anything else is only counted."""
    return key if isinstance(key, str | int | float | bool | bytes | tuple | None) else id(key)


def _extend(machine: _Machine, items: list[Any]) -> None:
    machine.stack[-1].extend(items)


def _add(machine: _Machine, items: list[Any]) -> None:
    machine.stack[-1].update(map(_key, items))


def _tensor(storage: Any, offset: int, sizes: Any, strides: Any, grad: Any = False, *rest: Any) -> Stored:
    if any(isinstance(item, Mapping) and item for item in rest[1:]):
        raise FormatError("a tensor of the pickle has conjugate or negative bits. Save tensor.resolve_conj() instead.")
    return Stored(storage, _whole(offset), _sizes(sizes), _sizes(strides), trainable=grad is True)


def _typed_tensor(storage: Any, offset: int, sizes: Any, strides: Any, grad: Any, hooks: Any, dtype: Any) -> Stored:
    del hooks
    return Stored(storage, _whole(offset), _sizes(sizes), _sizes(strides), _dtype_name(dtype), trainable=grad is True)


def _parameter(tensor: Any, grad: Any = True, *_: Any) -> Any:
    if isinstance(tensor, Stored):
        tensor.trainable = grad is True
    return tensor


def _sizes(sizes: Any) -> tuple[int, ...]:
    return tuple(_whole(size) for size in sizes)


def _whole(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 2**48:
        raise FormatError(f"a tensor of the pickle has the size, stride or offset {str(number)[:40]}.")
    return number


def _dtype_name(dtype: Any) -> str:
    if not isinstance(dtype, Named) or dtype.module != "torch":
        raise FormatError(f"a tensor of the pickle has the element type {str(dtype)[:40]}.")
    return dtype.name


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8"):
        raise FormatError(f"the pickle encodes text as {str(encoding)[:40]!r}.")
    return text.encode(encoding)


def _plain_dict(*items: Any) -> dict[Any, Any]:
    return {_key(key): value for key, value in (items[0] if items and isinstance(items[0], list) else ())}


_CALLS: dict[Named, Callable[..., Any]] = {
    Named("collections", "OrderedDict"): _plain_dict,
    Named("collections", "defaultdict"): lambda *_: {},
    Named("collections", "Counter"): lambda *items: dict(items[0]) if items else {},
    Named("torch._utils", "_rebuild_tensor"): _tensor,
    Named("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Named("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    Named("torch._utils", "_rebuild_parameter"): _parameter,
    Named("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    Named("torch.jit._pickle", "build_intlist"): list,
    Named("torch.jit._pickle", "build_doublelist"): list,
    Named("torch.jit._pickle", "build_boollist"): list,
    Named("torch.jit._pickle", "build_tensorlist"): list,
    Named("torch.jit._pickle", "restore_type_tag"): lambda value, *_: value,
    Named("torch", "Size"): tuple,
    Named("torch", "device"): lambda *parts: ":".join(map(str, parts)),
    Named("_codecs", "encode"): _encoded,
    **{Named(home, "set"): lambda *items: set(map(_key, *items)) for home in ("builtins", "__builtin__")},
    **{Named(home, "frozenset"): lambda *items: set(map(_key, *items)) for home in ("builtins", "__builtin__")},
    **{Named(home, "bytearray"): lambda *items: items[0] if items else b"" for home in ("builtins", "__builtin__")},
    **{Named(home, "complex"): complex for home in ("builtins", "__builtin__")},
    **{Named(home, "slice"): lambda *items: items for home in ("builtins", "__builtin__")},
}
_OF_A_SUBCLASS = Named("torch._tensor", "_rebuild_from_type_v2")
"""(how to make the tensor, its class, arguments, state): only how and the arguments matter."""
_RECORDS = {
    Named("argparse", "Namespace"),
    Named("types", "SimpleNamespace"),
    Named("numpy", "dtype"),
    Named("numpy.core.multiarray", "scalar"),
    Named("numpy._core.multiarray", "scalar"),
    Named("datetime", "datetime"),
    Named("datetime", "timedelta"),
    Named("pathlib", "PosixPath"),
    Named("pathlib", "PurePosixPath"),
    Named("pathlib", "WindowsPath"),
}
"""Bookkeeping beside the weights in common checkpoints; never looked into."""
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_NOTHING = frozenset({"PROTO", "FRAME", "STOP"})
_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "MARK": _Machine.mark,
    "POP": lambda m, _: m.stack.pop() if m.stack else m.since_mark(),
    "POP_MARK": lambda m, _: m.since_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "PUT": _Machine.remember,
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "GET": lambda m, place: m.push(m.memo[int(place)]),
    "BINGET": lambda m, place: m.push(m.memo[int(place)]),
    "LONG_BINGET": lambda m, place: m.push(m.memo[int(place)]),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.push((m.stack.pop(),)),
    "TUPLE2": lambda m, _: m.push((m.stack.pop(-2), m.stack.pop())),
    "TUPLE3": lambda m, _: m.push((m.stack.pop(-3), m.stack.pop(-2), m.stack.pop())),
    "LIST": lambda m, _: m.push(m.since_mark()),
    "DICT": lambda m, _: m.put_new(m.since_mark()),
    "FROZENSET": lambda m, _: m.push(set(map(_key, m.since_mark()))),
    "APPEND": lambda m, _: _extend(m, [m.stack.pop()]),
    "APPENDS": lambda m, _: _extend(m, m.since_mark()),
    "SETITEM": lambda m, _: m.put_items([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, _: m.put_items(m.since_mark()),
    "ADDITEMS": lambda m, _: _add(m, m.since_mark()),
    "GLOBAL": lambda m, text: m.named(*text.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.named(m.stack.pop(-2), m.stack.pop()),
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": lambda m, _: m.push(m.persistent(m.stack.pop())),
}
