"""From a live JAX object to a model: trace once, lift every primitive, keep every name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import jax

from kxchange.errors import CaptureError, UnsupportedOpError
from kxchange.fresh import numbering
from kxchange.graph import Graph, Value, emitting, parameter, placeholder
from kxchange.model import Function, Model
from kxchange.output_tree import output_tree
from kxchange.passes.canonicalize import canonicalize
from kxchange.types import DType, TensorType
from kxchange_jax.dims_in import plan_dims
from kxchange_jax.inputs_in import bind_examples
from kxchange_jax.lifting import Lifter
from kxchange_jax.outputs_in import name_outputs
from kxchange_jax.sources_in import Sources
from kxchange_jax.subjects import Subject, subject_of
from kxchange_jax.tracing import Call, Traced


def capture(
    source: Any,
    *args: Any,
    dynamic: Any = None,
    constraints: Sequence[str] = (),
    vmap: bool | str = False,
    **kwargs: Any,
) -> Model:
    """Lift a function, a Flax Linen or NNX module, an Equinox module, or a `JaxModel`.

    * A function: ``capture(fn, params, *inputs)``. A first argument that is a tree of arrays (a dict, a list, a
      dataclass) holds the parameters, named by their paths joined by dots.
    * A Linen module: ``capture(module, variables, *inputs)``; `mutable`, `method` and `rngs` as `Module.apply` takes
      them. What a mutable collection becomes are outputs named ``<parameter>.next``.
    * An NNX module: ``capture(module, *inputs)``, in eval mode unless ``training=True``.
    * An Equinox module: ``capture(module, *inputs)``, in inference mode unless ``training=True``. It is written for one
      example, so that no axis is symbolic by default; with ``vmap=True`` it is mapped over a batch. An `eqx.nn.State`
      among its arguments is not an input: its arrays are buffers, and what a call changes in them is written.

    Arrays among the arguments are inputs, under the names of the function's arguments; everything else (bools, numbers,
    strings, None) is configuration. A random key (``jax.random.key``) becomes an input of its words, uint32.

    Args:
        source: What to capture.
        args: Parameters (see above) and example inputs; their values do not matter, their dtypes and static sizes do.
        dynamic: Symbolic dims by input name (``past.0.1`` inside a nested one, or nested like it): a tuple with one
            entry per axis, or a dict by axis. An entry is a name, an expression over names (``"past+seq"``), or None
            for a size that stays. Inputs that are not named have a symbolic axis 0 (``batch``); ``dynamic=False``
            makes every size static.
        constraints: What holds of the sizes: ``"seq <= 64"``, ``"h % 8 == 0"``. The model keeps and checks them.
        vmap: Map the source over axis 0 of every input; a name is the name of that axis inside (``vmap="batch"``).
        kwargs: Example inputs by name, and the options above.

    Raises:
        CaptureError: The object cannot be traced or lifted faithfully; the message says where.
        UnsupportedOpError: Primitives without a lift, all of them, with their lines.
    """
    subject = subject_of(source, args, kwargs)
    examples = bind_examples(subject.signature, subject.args, kwargs)
    plan = plan_dims(examples.shaped, dynamic, constraints, batched=subject.batched or bool(vmap))
    plan.shapes.update({name: (*plan.shapes[name], *words) for name, words in examples.words.items()})
    plan.constraints += subject.constraints
    sizes, names = plan.jax_sizes()
    call = Call(subject, examples, plan, vmap)
    traced = call.trace(sizes)
    with numbering(taken=plan.sizes):
        function = _Lift(call, traced, names).function()
    known = set(function.dims)
    stated = [constraint for constraint in plan.constraints if constraint.symbols <= known]
    model = Model(
        {"main": function}, subject.table.entries, constraints=stated, provenance=_provenance(subject, plan.sizes)
    )
    model = canonicalize(model)
    model.origin = call
    return model


def _provenance(subject: Subject, sizes: dict[str, int]) -> dict[str, Any]:
    home = {"home": subject.home} if subject.home else {}
    versions = {"jax": jax.__version__}
    return {"backend": "jax", "object": subject.label, "versions": versions, "example_dims": dict(sizes), **home}


class _Lift:
    """One traced call on its way to a function of a model."""

    def __init__(self, call: Call, traced: Traced, names: dict[str, str]) -> None:
        self.call = call
        self.traced = traced
        self.table = call.subject.table
        self.lifter = Lifter(self.table, names, traced.numbers, Sources(call.subject.root))
        self.inputs = [
            placeholder(name, TensorType(DType.of(array.dtype), call.plan.shapes[name]))
            for name, array in call.examples.arrays.items()
        ]

    def function(self) -> Function:
        """Lift the jaxpr.

        Raises:
            UnsupportedOpError: Primitives without a lift.
            CaptureError: Our types contradict JAX's.
        """
        jaxpr = self.traced.jaxpr
        params = [self._parameter(name) for name in self.call.subject.names]
        with emitting():
            results = self.lifter.run(jaxpr.jaxpr, jaxpr.consts, [*params, *self.inputs])
        self._require_success()
        return self._signature(cast("list[Value]", results))

    def _parameter(self, name: str) -> Value:
        entry = self.table.canonical(name)
        return parameter(entry.name, entry.type)

    def _require_success(self) -> None:
        if blockers := self.lifter.collected():
            raise UnsupportedOpError("capture (jax)", blockers, "Rewrite these lines, or add a rule to kxchange_jax.")
        if self.lifter.faults:
            listed = "\n  ".join(self.lifter.faults[:10])
            raise CaptureError(
                f"capture (jax) inferred other types than JAX for {len(self.lifter.faults)} primitives:\n  {listed}\n"
                "This is a fault in kxchange's lifting rules; please report it with these lines."
            )

    def _signature(self, results: list[Value]) -> Function:
        """User outputs by their place in the tree, written states after them."""
        values = iter(results)
        outputs: list[Value] = []
        names: list[str] = []
        leaves: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        for path, name, is_output in name_outputs(self.traced.outputs):
            leaves.append((path, {"output": name} if is_output else {"value": None}))
            if is_output:
                outputs.append(next(values))
                names.append(name)
        updates: dict[str, str] = {}
        kept = [True] * len(outputs)
        for target, value in zip(sorted(self.traced.written), values, strict=True):
            kept.append(self._write(target, value, outputs, names, updates))
        self.call.kept = tuple(kept)
        graph = Graph(tuple(self.inputs), tuple(outputs))
        return Function(graph, tuple(names), updates, output_tree(leaves))

    def _write(
        self, target: str, value: Value, outputs: list[Value], names: list[str], updates: dict[str, str]
    ) -> bool:
        """The next value of a parameter becomes an output, if it is another: whether it does."""
        node = value.node
        if target in self.table.entries:
            target = self.table.canonical(target).name
        if node.op == "parameter" and node.attrs["name"] == target:
            return False
        name = f"{target}.next"
        outputs.append(value)
        names.append(name)
        if target in self.table.entries:
            updates[name] = target
        return True
