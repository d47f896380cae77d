"""The record by which a converter makes itself known, and their discovery through entry points."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kxchange.collector import rare_collection
from kxchange.errors import MissingBackendError, UnknownConverterError

GROUP = "kxchange.converters"
Runner = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a backend that is worth a row of its own in a validation.

    Attributes:
        name: Behind the backend's name and a colon; empty for the usual way.
        options: Passed to `prepare` and `gradients`.
        environment: Environment variables that must be set before the backend is imported.
        requires: Modules that must be importable beside the backend's own.
    """

    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    requires: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Required modules that are not installed."""
        return tuple(module for module in self.requires if find_spec(module) is None)


@dataclass(frozen=True, slots=True)
class Converter:
    """What a backend can do. Data only: making one imports nothing heavy.

    Every verb is written ``module:function`` and imported on first use.

    Attributes:
        name: Backend name on the command line and in `model.to(...)`.
        requires: Modules that must be importable (`torch`).
        load_requires: Those that reading files needs, where that is less; None: all of `requires`.
        extra: The extra that installs them (`pip install "kxchange[extra]"`).
        suffixes: File suffixes that `save` writes.
        captures: Fully qualified class names whose instances (or subclasses' instances) `capture` takes.
        sniff: ``(path, head: bytes) -> str | None``: the format's name if the file is one this converter loads.
            Must not import the backend.
        load_verb: ``(path, **options) -> Model``.
        tensors_verb: ``(path, head: bytes) -> {name: Parameter} | None``: the tensors of a file that holds no
            architecture; None for any other file. Must not import the backend.
        save_verb: ``(model, path, **options) -> list[Path]`` (files written).
        build_verb: ``(model, **options) -> live object``.
        capture_verb: ``(object, *args, **options) -> Model``.
        prepare_verb: ``(model, *, function=None, **options) -> Runner``: compile once, run many times on arrays.
        weights_verb: ``(model, **options) -> {name: array}``: the parameters as a built object holds them.
        source_verb: ``(source, model, *, function=None, float64=False) -> Runner``: the captured object itself on
            arrays by input name; with `float64`, computed in float64 throughout.
        tensor_verb: ``(array) -> tensor``: a NumPy array as the backend's own example input.
        gradients_verb: ``(model, *, function=None, **options) -> callable``, which is ``(inputs, cotangents) ->
            gradients``, all by name: vector-Jacobian products of the outputs in `cotangents` for every floating input
            (``input NAME``) and every trained tensor (``parameter NAME``).
        supports_verb: ``(node) -> bool``: whether the lowering table takes a node natively.
        legalize_verb: ``(graph) -> graph``: what `build` makes of a graph before it applies its rules, where that is
            more than `legalize`: another layout, for example. Raises what `build` would refuse.
        run_file_verb: ``(path, model, *, function=None) -> Runner``: a file that `save` wrote, opened by the backend's
            own loader; `model` is only asked for the names and order of inputs and outputs.
        variants: Ways to run it that a validation tells apart; the first is meant by the backend's bare name.
        forms: Other forms that the same package writes and builds, each under a name of its own. They are found by
            name, and are no backends beside this one.
    """

    name: str
    requires: tuple[str, ...] = ()
    load_requires: tuple[str, ...] | None = None
    extra: str = ""
    suffixes: tuple[str, ...] = ()
    captures: tuple[str, ...] = ()
    sniff: str = ""
    load_verb: str = ""
    tensors_verb: str = ""
    save_verb: str = ""
    build_verb: str = ""
    capture_verb: str = ""
    prepare_verb: str = ""
    weights_verb: str = ""
    source_verb: str = ""
    tensor_verb: str = ""
    gradients_verb: str = ""
    supports_verb: str = ""
    legalize_verb: str = ""
    run_file_verb: str = ""
    variants: tuple[Variant, ...] = (Variant(),)
    forms: tuple[Converter, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Required modules that are not installed."""
        return tuple(module for module in self.requires if find_spec(module) is None)

    def versions(self) -> dict[str, str]:
        """Installed version of each required module, without importing it."""
        found: dict[str, str] = {}
        for module in self.requires:
            try:
                found[module] = metadata.version(module)  # most are called as their module, and asking all takes long
            except metadata.PackageNotFoundError:
                owners = packages().get(module, [])
                found[module] = metadata.version(owners[0]) if owners else "unknown"
        return found

    def verb(self, name: str) -> Callable[..., Any]:
        """Import the function behind a verb.

        Raises:
            MissingBackendError: a required module is not installed.
            UnknownConverterError: the converter has no such verb.
        """
        target: str = getattr(self, name)
        if not target:
            raise UnknownConverterError(
                f"{self.name} cannot {name.removesuffix('_verb')} models. kx backends lists who can."
            )
        if missing := self.missing_for(name):
            raise MissingBackendError(
                f"{self.name} needs {', '.join(missing)}, which is not installed. "
                f'Run: pip install "kxchange[{self.extra or self.name}]".'
            )
        module, _, function = target.partition(":")
        try:
            return getattr(import_module(module), function)
        except ModuleNotFoundError as error:
            if reason := self._absent_variant(error.name):
                raise MissingBackendError(reason) from error
            raise

    def _absent_variant(self, module: str | None) -> str:
        """What to say where a framework of several backends is set to one that is not installed; else nothing."""
        needed = {variant.requires[0]: variant for variant in self.variants if variant.requires}
        if module not in needed:
            return ""
        ready = [variant for name, variant in needed.items() if find_spec(name) is not None]
        settings = ", ".join(f"{key}={value}" for variant in ready for key, value in variant.environment.items())
        return (
            f"{self.name} runs on {', '.join(needed)}, and the one that it is set to, {module}, is not installed. "
            f'Run: pip install "kxchange[{module}]"' + (f", or set {settings}." if ready else ".")
        )

    def missing_for(self, verb: str) -> tuple[str, ...]:
        """What a verb needs and is not installed; recognising a file and reading bare tensors need nothing."""
        if verb in ("sniff", "tensors_verb"):
            return ()
        if verb == "load_verb" and self.load_requires is not None:
            return tuple(module for module in self.load_requires if find_spec(module) is None)
        return self.missing

    def load(self, path: Path, **options: Any) -> Any:
        """Read a model file of one of the converter's formats."""
        from kxchange.graph import emitting

        with emitting(), rare_collection():
            return self.verb("load_verb")(path, **options)

    def save(self, model: Any, path: Path, **options: Any) -> list[Path]:
        """Write a model file; returns what was written."""
        with rare_collection():
            return self.verb("save_verb")(model, path, **options)

    def build(self, model: Any, **options: Any) -> Any:
        """Make a live object of the backend."""
        with rare_collection():
            return self.verb("build_verb")(model, **options)

    def capture(self, source: Any, *args: Any, **options: Any) -> Any:
        """Lift a live object of the backend."""
        from kxchange.graph import emitting

        with emitting(), rare_collection():
            return self.verb("capture_verb")(source, *args, **options)

    def prepare(self, model: Any, **options: Any) -> Runner:
        """Compile a model for repeated runs on NumPy arrays."""
        return self.verb("prepare_verb")(model, **options)

    def weights(self, model: Any, **options: Any) -> dict[str, Any]:
        """The parameters as a built object holds them, under the model's names."""
        return self.verb("weights_verb")(model, **options)

    def source(self, source: Any, model: Any, **options: Any) -> Runner:
        """The captured object itself, run on arrays by input name."""
        return self.verb("source_verb")(source, model, **options)

    def gradients(self, model: Any, **options: Any) -> Callable[..., dict[str, Any]]:
        """Vector-Jacobian products of a model."""
        return self.verb("gradients_verb")(model, **options)

    def tensor(self, array: Any) -> Any:
        """A NumPy array as a tensor of the backend."""
        return self.verb("tensor_verb")(array)

    def run_file(self, path: Path, model: Any, **options: Any) -> Runner:
        """A written file in the backend's own runtime."""
        return self.verb("run_file_verb")(path, model, **options)

    def supports(self, node: Any) -> bool:
        """Whether the lowering table takes this node natively."""
        return self.verb("supports_verb")(node)


@cache
def packages() -> Mapping[str, list[str]]:
    """Distribution names per importable module."""
    return metadata.packages_distributions()


@cache
def converters() -> dict[str, Converter]:
    """Every installed converter by name, from entry points; no backend is imported."""
    found: dict[str, Converter] = {}
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        record = entry.load()
        if not isinstance(record, Converter):
            raise UnknownConverterError(f"entry point {entry.name!r} ({entry.value}) is not a kxchange Converter.")
        found[entry.name] = record
    if not found:
        raise UnknownConverterError("no converter is installed. In a checkout, run: pip install -e .")
    return found


def converter(name: str) -> Converter:
    """The converter, or the form of one, called `name`.

    Raises:
        UnknownConverterError: there is none; the message lists those installed and suggests the nearest.
    """
    installed = converters()
    if name in installed:
        return installed[name]
    forms = {form.name: form for owner in installed.values() for form in owner.forms}
    if name in forms:
        return forms[name]
    near = difflib.get_close_matches(name, [*installed, *forms, "kx"], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownConverterError(f"unknown converter {name!r}; installed: {', '.join(installed)}.{hint}")
