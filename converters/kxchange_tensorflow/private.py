"""Every private API of TensorFlow that the converter uses, in one place; each has a test that names it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def module_variables(module: tf.Module) -> list[tuple[tf.Variable, str]]:
    """The variables of a module, each with the dotted path to it.

    `tf.Module._flatten` is protected, for subclasses; the public `variables` gives no paths.
    """
    untyped: Any = module
    walk = untyped._flatten(predicate=lambda item: isinstance(item, tf.Variable), with_path=True)
    return [(variable, ".".join(map(str, path))) for path, variable in walk]


def captures(concrete: Any) -> list[tuple[Any, Any]]:
    """What a concrete function takes from outside: the tensor there, and the placeholder in its graph."""
    return list(concrete.graph.captures)
