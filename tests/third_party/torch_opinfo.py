"""torch's own operator samples (`op_db`) through kxchange: capture, run on NumPy and as a rebuilt module, compare.

    python tests/third_party/torch_opinfo.py --cache opinfo.jsonl --write   everything, docs/coverage/torch.md and .json
    python tests/third_party/torch_opinfo.py -k linalg                      some entries, print what is not right
    python tests/third_party/torch_opinfo.py --shard 0/2 --cache a.jsonl    half of the entries; entries in the cache are skipped

A sample is ``right`` if NumPy and the rebuilt module give the original's dtypes, shapes and values, ``refused`` if an
error names the reason, ``unexportable`` if `torch.export` alone fails on it too, ``random`` if torch gives different
results on two runs or what is refused draws random numbers, ``empty`` if no dense tensor goes in and out, ``wrong`` otherwise; a crash is ``wrong``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import unittest
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "coverage" / "torch.json"
PAGE = ROOT / "docs" / "coverage" / "torch.md"
DTYPES = ("float32", "int64", "bool")
PER_DTYPE = 2
"""Samples taken of each entry and dtype, spread evenly over those it has."""
RELATIVE = 2e-5
"""Distance allowed in norm: both sides compute in float32, in different orders."""
GAUGED = re.compile(r"linalg\.(eig|svd|qr|householder)|^(svd|qr|pca_lowrank|svd_lowrank)$")
"""Entries whose outputs are only defined up to signs: compared as torch's own tests compare them, where needed."""
UNDEFINED = {"empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"}
"""Entries whose values are what the memory held."""
TIED = {"argsort", "sort", "msort", "topk", "kthvalue", "median", "nanmedian", "mode", "min", "max"}
"""Entries that may give the position of any of equal elements: what stands at the positions is compared."""
Outcome = tuple[str, str]


@dataclass(frozen=True)
class Case:
    """One sample of one entry: a function of tensors, and the tensors."""

    entry: str
    dtype: str
    index: int
    call: Callable[[Sequence[Any]], Any]
    tensors: tuple[Any, ...]
    process: Callable[[Any], Any] | None


def name_of(entry: Any) -> str:
    """The entry's name with its variant."""
    return entry.name + (f" ({entry.variant_test_name})" if entry.variant_test_name else "")


def entries(only: str = "") -> list[Any]:
    """The entries of the installed torch, by name."""
    # torch's test support derives its test cases from this package's; the samples need none of it
    sys.modules.setdefault("expecttest", SimpleNamespace(TestCase=unittest.TestCase, ACCEPT=False))  # pyright: ignore
    from torch.testing._internal.common_methods_invocations import op_db

    return sorted((entry for entry in op_db if only in name_of(entry)), key=name_of)


def cases(entry: Any) -> Iterator[Case]:
    """A bounded number of samples of an entry."""
    import torch

    supported = entry.supported_dtypes("cpu")
    for name in DTYPES:
        dtype = getattr(torch, name)
        if dtype in supported:
            torch.manual_seed(0)
            samples = list(entry.sample_inputs("cpu", dtype, requires_grad=False))
            for index in _spread(len(samples), PER_DTYPE):
                yield _case(entry, name, index, samples[index])


def _spread(count: int, wanted: int) -> list[int]:
    return list(range(count)) if count <= wanted else [i * (count - 1) // (wanted - 1) for i in range(wanted)]


def _case(entry: Any, dtype: str, index: int, sample: Any) -> Case:
    import torch
    from torch.utils._pytree import tree_flatten, tree_unflatten

    leaves, spec = tree_flatten((sample.input, sample.args, sample.kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]

    def call(tensors: Sequence[Any]) -> Any:
        filled = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor
        first, args, kwargs = tree_unflatten(filled, spec)
        return entry.op(first, *args, **kwargs)

    process = sample.output_process_fn_grad if GAUGED.search(entry.name) else None
    return Case(name_of(entry), dtype, index, call, tuple(leaves[i].detach() for i in places), process)


def judge(case: Case) -> Outcome:
    """The outcome of one sample and its reason."""
    import torch
    from torch._dynamo.exc import TorchDynamoException

    from kxchange.errors import KxchangeError

    try:
        first, second = (_tensors(case.call([x.clone() for x in case.tensors])) for _ in range(2))
    except Exception as error:  # noqa: BLE001 - torch's own sample fails: nothing to compare
        return "random", f"torch: {error}".splitlines()[0][:200]
    if not first or any(x.layout is not torch.strided for x in (*first, *case.tensors)):
        return "empty", ""
    if case.entry in UNDEFINED or difference(first, second):
        return "random", ""
    try:
        return _attempt(case, first)
    except KxchangeError as error:
        reason = reason_of(error)
        if _draws(case):
            return "random", reason
        return ("refused", reason) if _exports(case) else ("unexportable", reason)
    except TorchDynamoException as error:
        return "unexportable", str(error).splitlines()[0][:200]
    except Exception as error:  # noqa: BLE001 - any other error is a fault of ours, and is counted as one
        return "wrong", f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _draws(case: Case) -> bool:
    """Whether the sample runs an operator that draws random numbers, by torch's own tags; perhaps none of them."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    drawn: list[Any] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if torch.Tag.nondeterministic_seeded in func.tags:
                drawn.append(func)
            return func(*args, **(kwargs or {}))

    with Watch():
        case.call([x.clone() for x in case.tensors])
    return bool(drawn)


def _attempt(case: Case, wanted: Sequence[Any]) -> Outcome:
    import kxchange as kx
    from kxchange_torch.dtypes import to_array, to_tensor

    tensors = [x.clone() for x in case.tensors]
    model = kx.capture(_module(case), tensors, dynamic=False)
    inputs = dict(zip(model.input_names, map(to_array, tensors), strict=True))
    states = model.functions["main"].updates
    changed = [x.clone() for x in case.tensors]
    case.call(changed)
    for backend in ("numpy", "torch"):
        results = {name: to_tensor(y, copy=True) for name, y in kx.run(model, inputs, backend=backend).items()}
        found = [y for name, y in results.items() if name not in states]
        written = [changed[model.input_names.index(target)] for target in states.values()]
        fault = difference([results[name] for name in states], written) or difference(found, wanted)
        if fault and case.entry.split(" ")[0] in TIED:
            fault = difference(*(_at_positions(case.tensors[0], group) for group in (found, wanted)))
        if fault and case.process is not None:
            pair = (_tensors(case.process(_nested(case, group))) for group in (found, wanted))
            fault = difference(*pair)
        if fault:
            return "wrong", f"{backend}: {fault}"
    return "right", ""


def _at_positions(x: Any, results: Sequence[Any]) -> list[Any]:
    """The results with positions replaced by the elements of `x` there, along the axis on which they fit."""
    import torch

    taken = []
    for result in results:
        if result.dtype is torch.int64 and result.ndim == x.ndim and x.ndim:
            rest = [a for a in range(x.ndim) if result.shape[a] != x.shape[a]] or range(x.ndim)
            taken += [torch.take_along_dim(x, result.clamp(0, x.shape[a] - 1), a) for a in rest if x.shape[a]]
        elif result.dtype is not torch.int64:
            taken.append(result)
    return taken


def _nested(case: Case, flat: Sequence[Any]) -> Any:
    """The tensors in the form in which the operator returns them."""
    from torch.utils._pytree import tree_flatten, tree_unflatten

    return tree_unflatten(list(flat), tree_flatten(case.call(case.tensors))[1])


def _module(case: Case) -> Any:
    import torch

    class Sample(torch.nn.Module):
        def forward(self, tensors: list[torch.Tensor]) -> Any:
            return case.call(tensors)

    return Sample()


def _exports(case: Case) -> bool:
    import torch

    try:
        torch.export.export(_module(case), ([x.clone() for x in case.tensors],), strict=False)
    except Exception:  # noqa: BLE001 - the question is whether it does
        return False
    return True


def _tensors(output: Any) -> list[Any]:
    import torch
    from torch.utils._pytree import tree_leaves

    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]


def difference(found: Sequence[Any], wanted: Sequence[Any]) -> str:
    """How results differ; empty if they do not."""
    if len(found) != len(wanted):
        return f"{len(found)} outputs, not {len(wanted)}"
    for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"output {index} is {a.dtype}{list(a.shape)}, not {b.dtype}{list(b.shape)}"
        if not _close(a, b):
            return f"output {index} has other values"
    return ""


def _close(a: Any, b: Any) -> bool:
    import torch

    a, b = (x.resolve_conj().resolve_neg() for x in (a, b))
    if not (b.is_floating_point() or b.is_complex()):
        return torch.equal(a, b)
    wide = torch.complex128 if b.is_complex() else torch.float64
    found, wanted = a.to(wide), b.to(wide)
    if not torch.equal(torch.isnan(found), torch.isnan(wanted)):
        return False
    finite = torch.isfinite(wanted)
    if not torch.equal(finite, torch.isfinite(found)):
        return False
    infinite = torch.isinf(wanted)
    if not torch.equal(found[infinite], wanted[infinite]):
        return False
    off, size = (found[finite] - wanted[finite]).abs(), wanted[finite].abs()
    return not off.numel() or bool((off <= RELATIVE * (size + size.max())).all())


def reason_of(error: Exception) -> str:
    """The reason of a refusal in one line."""
    from kxchange.errors import UnsupportedOpError

    if isinstance(error, UnsupportedOpError):
        return "; ".join(f"{blocker.op}: {blocker.reason}" for blocker in error.blockers)[:300]
    return str(error).splitlines()[0][:300]


def run_entry(entry: Any) -> dict[str, Outcome]:
    """Outcome and reason by sample."""
    found: dict[str, Outcome] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases(entry):
            found[f"{case.dtype}-{case.index}"] = judge(case)
    return found


def verdict(outcomes: Iterable[str]) -> str:
    """What is said of an entry, from its samples: samples that say nothing are left out."""
    number = Counter(outcomes)
    if number["wrong"]:
        return "wrong"
    if number["right"]:
        return "partly" if number["refused"] else "right"
    return next((o for o in ("refused", "unexportable") if number[o]), "not judged")


def record(results: Mapping[str, Mapping[str, Outcome]]) -> dict[str, Any]:
    """What is written to the file of results: by entry its verdict, its counts and every sample that is not right."""
    import torch

    return {
        "torch": torch.__version__.partition("+")[0],
        "entries": {
            name: {
                "verdict": verdict(outcome for outcome, _ in found.values()),
                "counts": dict(sorted(Counter(outcome for outcome, _ in found.values()).items())),
                "samples": {k: list(v) for k, v in found.items() if v[0] in ("refused", "wrong", "unexportable")},
            }
            for name, found in sorted(results.items())
        },
    }


def kind_of(reason: str) -> str:
    """A reason without the names and numbers of one case."""
    short = re.sub(r"'[^']*'", "...", reason)
    short = re.sub(r"\[[^\]]*\]", "", short)
    return re.sub(r"\d+(\.\d+)?(e-?\d+)?", "n", short).replace("|", "/").replace("*", "\\*")[:160]


def page(stated: Mapping[str, Any]) -> str:
    """The page: counts, then every entry that is not right with its reason."""
    verdicts = Counter(entry["verdict"] for entry in stated["entries"].values())
    exportable = sum(verdicts[v] for v in ("right", "partly", "refused", "wrong"))
    share = 100 * verdicts["right"] / max(exportable, 1)
    head = [
        "<!-- Generated by tests/third_party/torch_opinfo.py --write. Do not edit. -->",
        "",
        "# PyTorch operator coverage",
        "",
        f"The operator samples of torch {stated['torch']} (`op_db`, {len(stated['entries'])} entries; float32, int64 and "
        f"bool, up to {PER_DTYPE} of each), captured, run by NumPy and as a rebuilt module, and compared with the "
        "original. *Right*: all samples that `torch.export` takes have the original's dtypes, shapes and values on both. "
        "*Partly*: some are refused. *Refused*: all are, with an error that names the reason. *Not judged*: what "
        "draws random numbers, or gives no dense tensor.",
        "",
        "| entries | right | partly | refused | wrong | not exportable | not judged | right of exportable |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
        f"| {len(stated['entries'])} | "
        + " | ".join(str(verdicts[v]) for v in ("right", "partly", "refused", "wrong", "unexportable", "not judged"))
        + f" | {share:.1f} % |",
    ]
    for title, wanted in (("Wrong", "wrong"), ("Partly", "partly"), ("Refused", "refused")):
        head += _section(title, stated["entries"], wanted)
    return "\n".join([*head, *_bare("Not exportable", stated, "unexportable")]) + "\n"


def _section(title: str, found: Mapping[str, Any], wanted: str) -> list[str]:
    rows = []
    for name, entry in found.items():
        if entry["verdict"] == wanted:
            reasons = Counter(kind_of(r) for o, r in entry["samples"].values() if o in ("refused", "wrong"))
            rows.append(f"| {name} | {sum(reasons.values())} | {'; '.join(reasons)[:300]} |")
    return ["", f"## {title}", "", "| entry | samples | reason |", "|---|---:|---|", *rows] if rows else []


def _bare(title: str, stated: Mapping[str, Any], wanted: str) -> list[str]:
    names = [name for name, entry in stated["entries"].items() if entry["verdict"] == wanted]
    return ["", f"## {title}", "", ", ".join(f"`{name}`" for name in names)] if names else []


def sweep(chosen: Sequence[Any], cache: Path | None, quiet: bool) -> dict[str, dict[str, Outcome]]:
    """Every chosen entry; those that the cache has are not run again."""
    results = read_cache(cache)
    for entry in chosen:
        name = name_of(entry)
        if name not in results:
            results[name] = run_entry(entry)
            if cache is not None:
                with cache.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([name, results[name]]) + "\n")
        if not quiet:
            for key, (outcome, reason) in results[name].items():
                if outcome in ("refused", "wrong"):
                    print(f"{name} {key}: {outcome}: {reason}", flush=True)
    return {name_of(entry): results[name_of(entry)] for entry in chosen}


def read_cache(cache: Path | None) -> dict[str, dict[str, Outcome]]:
    """Outcomes of earlier runs, the latest of each entry."""
    if cache is None or not cache.exists():
        return {}
    lines = cache.read_text(encoding="utf-8").splitlines()
    return {name: {key: tuple(value) for key, value in found.items()} for name, found in map(json.loads, lines)}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", dest="only", default="", help="only entries whose name contains this")
    parser.add_argument("--shard", default="0/1", help="i/n: every n-th entry, from the i-th")
    parser.add_argument("--cache", type=Path, help="a file of outcomes, read and appended to")
    parser.add_argument("--write", action="store_true", help="write docs/coverage/torch.md and torch.json")
    parser.add_argument("-q", "--quiet", action="store_true", help="print no single sample")
    options = parser.parse_args()
    first, step = map(int, options.shard.split("/"))
    results = sweep(entries(options.only)[first::step], options.cache, options.quiet)
    stated = record(results)
    number = Counter(entry["verdict"] for entry in stated["entries"].values())
    print(dict(number))
    if options.write:
        RESULTS.write_text(json.dumps(stated, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(stated), encoding="utf-8")
    return 1 if number["wrong"] else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
