"""`.pt2` files in: the archive is parsed here, and nothing in it is run, imported or unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.export import ExportedProgram

from kxchange.errors import Blocker, FormatError, KxchangeError, NoArchitectureError, UnsupportedOpError
from kxchange.model import Model
from kxchange_torch.dim_map import finite_range
from kxchange_torch.dims_in import DimPlan
from kxchange_torch.exporting import Findings
from kxchange_torch.guards_in import Guards
from kxchange_torch.parameters_in import ParameterTable, program_tensors
from kxchange_torch.private import training_verifier, value_range
from kxchange_torch.program_dims import plan_program
from kxchange_torch.program_in import ProgramLift
from kxchange_torch.pt2_archive import Pt2Archive
from kxchange_torch.pt2_graph import Pt2Graph
from kxchange_torch.pt2_signature import read_calls, read_signature
from kxchange_torch.pt2_sizes import Pt2Sizes
from kxchange_torch.pt2_sniff import sniff
from kxchange_torch.pt2_tensors import Pt2Tensors

MAJOR = 8
"""Version of the schema that is read."""
MODELS = "models/"


def load(path: Path, *, program: str | None = None, dynamic: Any = None, training: bool = False) -> Model:
    """Read an exported program.

    The graph comes from its JSON and the weights from their raw bytes, mapped. `sample_inputs`, which torch pickles, is
    not read at all.

    Args:
        path: The `.pt2` file.
        program: Which of several programs in the file.
        dynamic: Names for the symbolic dims, as in `capture`.
        training: Keep `dropout` nodes.

    Raises:
        FormatError: The file is no `.pt2` archive of this schema, is damaged, or has pickled or compiled members that
            the program needs.
        LimitError: It is larger than any program is.
        UnsupportedOpError: It names operators that are not on the list, or that have no lift.
        NoArchitectureError: It is a TorchScript archive.
    """
    path = Path(path)
    _refuse_torchscript(path)
    archive = Pt2Archive(path)
    name = _program_name(archive, program)
    try:
        exported = read_program(archive, name)
    except KxchangeError:
        raise
    except (KeyError, IndexError, StopIteration, TypeError, AttributeError, ValueError, RecursionError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise FormatError(f"{path.name}: {MODELS}{name}.json does not follow the schema ({reason}).") from error
    except Exception as error:  # torch's checks of a program raise whatever they like
        raise FormatError(f"{path.name}: torch finds the program inconsistent: {str(error)[:300]}.") from error
    plan, names = plan_program(exported, dynamic)
    _declare_ranges(exported, plan, names)
    table = ParameterTable(program_tensors(exported))
    lift = ProgramLift(exported, table, names, plan, Findings(), allow_specialised=False, training=training)
    return lift.model({"backend": "torch", "object": f"{name} ({path.name})"})


def _refuse_torchscript(path: Path) -> None:
    """TorchScript is a program in a language that only torch's C++ runtime reads, which is not made for foreign files.

    Raises:
        NoArchitectureError: `path` is such an archive.
    """
    with path.open("rb") as stream:
        if sniff(path, stream.read(4)) != "torchscript":
            return
    raise NoArchitectureError(
        f"{path.name} is a TorchScript archive. kxchange does not hand a foreign file's code to torch's interpreter. "
        f"If you trust it: model = kx.capture(torch.jit.load({path.name!r}), *example_inputs). Its tensors alone can "
        f"be read without running it: kx.load_weights(model, {path.name!r}); kx inspect lists them."
    )


def read_program(archive: Pt2Archive, name: str) -> ExportedProgram:
    """One program of an archive, as torch has it in memory, under our own names of nodes.

    Raises:
        FormatError: It is of another schema, or the file contradicts itself.
        UnsupportedOpError: It names operators that are not on the list.
    """
    record = archive.json(f"{MODELS}{name}.json")
    version = record["schema_version"]
    if version.get("major") != MAJOR:
        raise FormatError(
            f"{archive.path.name} follows version {version.get('major')}.{version.get('minor')} of torch's schema; "
            f"kxchange reads {MAJOR}. Save it again with a recent torch."
        )
    bounds = {name: value_range(b["min_val"], b["max_val"]) for name, b in record["range_constraints"].items()}
    module, sizes, root = record["graph_module"], Pt2Sizes(bounds), nn.Module()
    graph = Pt2Graph(module["graph"], sizes, root)
    if graph.unknown:
        blockers = [
            Blocker(target, "it is not an operator kxchange reads", tuple(p)) for target, p in graph.unknown.items()
        ]
        raise UnsupportedOpError(f"load ({archive.path.name})", blockers, "Nothing in the file was run.")
    signature = read_signature(module["signature"], graph)
    calls = read_calls(module["module_call_graph"], module.get("treespec_namedtuple_fields") or {})
    state, constants = _tensors(archive, name)
    _require_stored(signature.input_specs, state | constants)
    ranges = {sizes.symbols[symbol]: found for symbol, found in bounds.items() if symbol in sizes.symbols}
    return ExportedProgram(
        root, graph.graph, signature, state, ranges, calls, None, constants, verifiers=[training_verifier()]
    )


def _program_name(archive: Pt2Archive, wanted: str | None) -> str:
    names = [
        n.removeprefix(MODELS).removesuffix(".json")
        for n in archive.members
        if n.startswith(MODELS) and n.endswith(".json")
    ]
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted in names:
        return str(wanted)
    problem = f"has no program {wanted!r}" if wanted is not None else f"has {len(names)} programs"
    raise FormatError(f"{archive.path.name} {problem}. Choose one with program=: {', '.join(sorted(names)) or 'none'}.")


def _tensors(archive: Pt2Archive, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    reader = Pt2Tensors(archive)
    for folder in ("weights", "constants"):
        if f"data/{folder}/{name}.pt" in archive.members:
            raise FormatError(
                f"{archive.path.name}: data/{folder}/{name}.pt is a pickle, which kxchange never reads. "
                "Save the program again with torch 2.8 or later."
            )
    state = reader.read("data/weights/", f"{name}_weights_config.json")
    return state, reader.read("data/constants/", f"{name}_constants_config.json")


def _require_stored(specs: Any, stored: Mapping[str, Any]) -> None:
    missing = [str(spec.target) for spec in specs if spec.target is not None and spec.target not in stored]
    if missing:
        raise FormatError(f"the program reads {', '.join(missing[:5])}, which the archive does not store.")


def _declare_ranges(program: ExportedProgram, plan: DimPlan, names: list[str]) -> None:
    """Bounds on sizes that the file states, as if the user had declared them."""
    guards = Guards(program, names, plan, Findings(), allow_specialised=False)
    dims, _ = guards.resolve()
    for symbol, bounds in program.range_constraints.items():
        name = str(dims.names.get(symbol, ""))
        if name in plan.sizes:
            plan.ranges[name] = finite_range(bounds, 1)
