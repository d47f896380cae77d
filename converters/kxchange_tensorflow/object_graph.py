"""What the object graph of a SavedModel says of its variables."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kxchange_tensorflow.wire import Message

MAX_OBJECTS = 1_000_000
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
UNNAMED = re.compile(r"Variable(_\d+)?")
"""What TensorFlow calls variables that nobody named."""
TRAINING = re.compile(r"(^|/)(_?optimizer|keras_api|metrics|save_counter|_?loss_tracker|\.OPTIMIZER_SLOT)(/|$)")
"""Where in the object graph the variables of training stand, which are no part of the model."""


@dataclass(frozen=True, slots=True)
class ObjectVariable:
    """One variable: the path to it, its own name, and whether it is trained."""

    path: str
    name: str
    trainable: bool

    @property
    def label(self) -> str:
        """What to call it: its name, or the path to it where nobody named it."""
        return self.path if not self.name or UNNAMED.fullmatch(self.name) else self.name

    @property
    def is_of_training(self) -> bool:
        """Whether it belongs to an optimizer or a metric."""
        return TRAINING.search(self.path) is not None


def object_variables(graph: Message) -> dict[str, ObjectVariable]:
    """Variables by checkpoint key, in the order of the object graph."""
    objects = graph.messages(1)[:MAX_OBJECTS]
    found: dict[str, ObjectVariable] = {}
    for number, path in _paths(objects).items():
        if objects[number].has(7):
            variable = objects[number].message(7)
            found[path + SUFFIX] = ObjectVariable(path, variable.text(6), bool(variable.integer(3)))
    return found


def _paths(objects: list[Message]) -> dict[int, str]:
    """The shortest path from the root to each object, as checkpoint keys spell it."""
    if not objects:
        return {}
    paths = {0: ""}
    queue = [0]
    for number in queue:
        for child in objects[number].messages(1):
            target, name = child.integer(1), child.text(2)
            if 0 <= target < len(objects) and target not in paths:
                spelled = name.replace(".", "..").replace("/", ".S")
                paths[target] = f"{paths[number]}/{spelled}" if paths[number] else spelled
                queue.append(target)
    return paths
