"""JAX's own primitive harnesses through kxchange: capture, run on a backend, compare with what JAX computes.

    python tests/third_party/jax_harnesses.py --cache a.jsonl --write  every case, docs/coverage/jax.md and jax.json
    python tests/third_party/jax_harnesses.py --every 7 -k scatter     some cases, print what did not pass

Cases that the cache has are not run again, so that a long run can be stopped and taken up; with --retry those that
did not pass are.

Each case is ``pass``, ``refused`` (with the reason), ``gap`` (a NaN that a backend's kernel is known to pass over, see
its gaps.toml) or ``wrong``. There is no other outcome: a crash is ``wrong``.
Cases that JAX itself does not run on the CPU are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = ("numpy", "jax", "torch", "onnx")
RTOL = {"float64": 1e-10, "complex128": 1e-10, "float16": 2**-9, "bfloat16": 2**-6}
"""Two units in the last place of 16-bit floats; `RTOL_OTHER` of the rest."""
RTOL_OTHER = 2e-5
UP_TO_SIGN = ("eig", "eigh", "svd", "qr")
"""Groups whose vectors are defined up to a sign (or phase): those of two libraries may differ in it."""
NAN_GAPS = {("onnx", group) for group in ("argmin", "argmax", "reduce_max", "reduce_min")}
"""Where a backend's own kernel passes over NaN: stated in its gaps.toml, and no fault of the lift."""
SIGNED_NAN = ("top_k",)
"""Groups in which JAX orders NaN by the sign bit, which the language's ops do not: NaN is the greatest number there."""
EMPTY_GAPS = {("torch", "fft")}
"""Where a backend's own kernel raises an error for tensors without elements."""
RESULTS = ROOT / "docs" / "coverage" / "jax.json"
PAGE = ROOT / "docs" / "coverage" / "jax.md"
Outcome = tuple[str, str]


@dataclass(frozen=True)
class Case:
    """One call of a primitive, and what JAX gives for it.

    Attributes:
        wanted: None where JAX cannot run it.
        unordered: The axis along which the order of equal elements is not defined, if any.
    """

    group: str
    name: str
    function: Any
    arrays: Sequence[Any]
    wanted: Sequence[Any] | None
    unordered: int | None = None


def harnesses(only: str = "") -> list[Any]:
    """JAX's harnesses that it runs on the CPU, in its order."""
    from jax._src.internal_test_util import test_harnesses

    return [case for case in test_harnesses.all_harnesses if case.filter("cpu") and only in case.fullname]


def read(harness: Any) -> Case:
    """A harness with its random arguments drawn, run by JAX: with x64, at the highest precision."""
    import jax

    arrays = [np.asarray(x) for x in harness.dyn_args_maker(np.random.RandomState(0))]

    def function(*inputs: Any) -> Any:
        return harness.dyn_fun(*inputs)

    try:
        with jax.enable_x64(True), jax.default_matmul_precision("highest"):
            wanted = [_plain(leaf) for leaf in jax.tree_util.tree_leaves(jax.jit(function)(*arrays))]
    except Exception:  # noqa: BLE001 - what JAX cannot run is no case, whatever the reason
        wanted = None
    unordered = harness.params["dimension"] if harness.params.get("is_stable") is False else None
    return Case(harness.group_name, harness.fullname, function, arrays, wanted, unordered)


def _plain(leaf: Any) -> Any:
    import jax
    import jax.numpy as jnp

    return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)


def judge(case: Case, backends: Sequence[str] = BACKENDS) -> dict[str, Outcome]:
    """Outcome and reason of one case on each backend."""
    import jax

    import kxchange as kx
    from kxchange.errors import KxchangeError

    try:
        with jax.enable_x64(True):
            model = kx.capture(case.function, *case.arrays, dynamic=False)
    except KxchangeError as error:
        return dict.fromkeys(backends, ("refused", reason_of(error)))
    except Exception as error:  # noqa: BLE001 - any other error is a fault of ours, and is counted as one
        return dict.fromkeys(backends, ("wrong", _first_line(error)))
    return {backend: _on_backend(case, model, backend) for backend in backends}


def _on_backend(case: Case, model: Any, backend: str) -> Outcome:
    import kxchange as kx
    from kxchange.errors import KxchangeError

    inputs = dict(zip(model.input_names, case.arrays, strict=True))
    try:
        found = list(kx.run(model, inputs, backend=backend).values())
    except KxchangeError as error:
        return "refused", reason_of(error)
    except Exception as error:  # noqa: BLE001 - see above
        if (backend, case.group) in EMPTY_GAPS and any(x.size == 0 for x in case.arrays):
            return "gap", f"the backend's kernel takes no empty tensor: {_first_line(error)}"
        return "wrong", _first_line(error)
    wanted = list(case.wanted or ())
    if case.group == "eigh" and len(found) == len(wanted) == 2 and found[0].shape == wanted[0].shape:
        found, wanted = (multiplied_out(*xs) for xs in (found, wanted))
    if case.group == "svd" and len(found) == len(wanted) == 3 and [x.shape for x in found] == [x.shape for x in wanted]:
        found, wanted = (recomposed(xs) for xs in (found, wanted))
    if case.group == "approx_top_k" and [(x.dtype, x.shape) for x in found] == [(x.dtype, x.shape) for x in wanted]:
        found, wanted = (chosen(*xs, case.arrays[0], -1) for xs in (found, wanted))
    if case.unordered is not None and [x.shape for x in found] == [x.shape for x in wanted]:
        found, wanted = (ordered(xs, case.unordered) for xs in (found, wanted))
    fault = difference(found, wanted, up_to_sign=case.group in UP_TO_SIGN)
    if fault and case.group in SIGNED_NAN and any(_has_negative_nan(x) for x in case.arrays):
        return "gap", "a NaN with its sign bit set is less than all numbers in JAX"
    if (
        fault
        and (backend, case.group) in NAN_GAPS
        and any(x.dtype.kind == "f" and np.isnan(x).any() for x in case.arrays)
    ):
        return "gap", "the backend's kernel passes over NaN"
    return ("wrong", fault) if fault else ("pass", "")


def _has_negative_nan(x: Any) -> bool:
    return x.dtype.kind == "f" and bool((np.isnan(x) & np.signbit(x)).any())


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def difference(found: Sequence[Any], wanted: Sequence[Any], *, up_to_sign: bool = False) -> str:
    """How results differ from JAX's; empty if they do not."""
    if len(found) != len(wanted):
        return f"{len(found)} outputs, not {len(wanted)}"
    for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"output {index} is {a.dtype.name}{list(a.shape)}, not {b.dtype.name}{list(b.shape)}"
        if not (_close(a, b) or (up_to_sign and _close(np.abs(a), np.abs(b)))):
            return f"output {index} has other values"
    return ""


def multiplied_out(vectors: Any, values: Any) -> list[Any]:
    """Eigenvalues, and what the eigenvectors are a factorization of: vectors of close values may be any in a plane."""
    adjoint = np.swapaxes(vectors.conj(), -1, -2)
    return [values, ((vectors * values[..., None, :]) @ adjoint).astype(vectors.dtype), (vectors @ adjoint)]


def recomposed(xs: Sequence[Any]) -> list[Any]:
    """Singular values, what the vectors give with them, and their products: those of close values may be any."""
    s, u, vh = xs
    count = s.shape[-1]
    products = [(u[..., :count] * s[..., None, :]) @ vh[..., :count, :], _squared(u), _squared(vh.swapaxes(-1, -2))]
    return [s, *(x.astype(u.dtype) for x in products)]


def _squared(vectors: Any) -> Any:
    return vectors.conj().swapaxes(-1, -2) @ vectors


def chosen(values: Any, places: Any, x: Any, axis: int) -> list[Any]:
    """The values, and what stands at the places: of equal elements any may be given."""
    return [values, np.take_along_axis(x, places.astype(np.int64), axis=axis)]


def ordered(xs: Sequence[Any], axis: int) -> list[Any]:
    """Tensors sorted together along an axis: by the first, then the second, and so on."""
    order = np.lexsort([x.astype(np.float64) for x in reversed(xs)], axis=axis)
    return [np.take_along_axis(x, order, axis=axis) for x in xs]


def _close(a: Any, b: Any) -> bool:
    if b.dtype.kind in "biu":
        return bool(np.array_equal(a, b))
    wide = np.complex128 if b.dtype.kind == "c" else np.float64
    rtol = RTOL.get(b.dtype.name, RTOL_OTHER)
    found, wanted = a.astype(wide), b.astype(wide)
    finite = np.abs(wanted[np.isfinite(wanted)])
    # Where terms cancel, what is left is JAX's own rounding: it scales with the terms.
    floor = 0.1 * rtol * float(finite.max(initial=0.0))
    return bool(np.allclose(found, wanted, rtol=rtol, atol=floor, equal_nan=True))


def reason_of(error: Exception) -> str:
    """The reason of a refusal in one line."""
    from kxchange.errors import UnsupportedOpError

    if isinstance(error, UnsupportedOpError):
        return "; ".join(f"{blocker.op}: {blocker.reason}" for blocker in error.blockers)[:200]
    return str(error).splitlines()[0][:200]


def sample(every: int, start: int = 0, only: str = "") -> Iterator[Any]:
    """Every so many harnesses."""
    return islice(harnesses(only), start, None, every)


def run(
    chosen: Iterator[Any],
    backends: Sequence[str],
    *,
    quiet: bool = True,
    cache: Path | None = None,
    retry: bool = False,
) -> dict[str, dict[str, Any]]:
    """For each backend the outcomes by case; those that the cache has are taken from there."""
    known = read_cache(cache)
    if retry:
        known = {name: each for name, each in known.items() if all(outcome == "pass" for outcome, _ in each.values())}
    found: dict[str, dict[str, Outcome]] = {backend: {} for backend in backends}
    for harness in chosen:
        name = f"{harness.group_name}/{harness.fullname}"
        if name not in known:
            known[name] = _outcomes(harness, backends)
            if cache is not None:
                with cache.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([name, known[name]]) + "\n")
        for backend, outcome in known[name].items():
            found[backend][name] = outcome
            if not quiet and outcome[0] != "pass":
                print(f"{backend} {harness.fullname}: {outcome[0]}: {outcome[1]}", flush=True)
    return found


def _outcomes(harness: Any, backends: Sequence[str]) -> dict[str, Outcome]:
    """By backend; nothing for a case that JAX itself does not run."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        case = read(harness)
        return {} if case.wanted is None else judge(case, backends)


def read_cache(cache: Path | None) -> dict[str, dict[str, Outcome]]:
    """Outcomes of earlier runs, the latest of each case."""
    if cache is None or not cache.exists():
        return {}
    lines = cache.read_text(encoding="utf-8").splitlines()
    return {name: {key: tuple(value) for key, value in found.items()} for name, found in map(json.loads, lines)}


def counts(results: Mapping[str, Outcome]) -> Counter[str]:
    """Number of cases by outcome."""
    return Counter(outcome for outcome, _ in results.values())


def summary(backend: str, results: Mapping[str, Outcome]) -> str:
    """One line."""
    number, total = counts(results), max(len(results), 1)
    share = 100 * number["pass"] / total
    return f"{backend}: {number['pass']}/{total} = {share:.1f}%, {number['refused']} refused, {number['wrong']} wrong"


def records(found: Mapping[str, Mapping[str, Outcome]], every: int = 1) -> dict[str, Any]:
    """What is written to the file of results: counts by group, and every case that does not pass by its reason."""
    record: dict[str, Any] = {}
    for backend, results in found.items():
        groups: dict[str, Counter[str]] = {}
        cases: dict[str, dict[str, list[str]]] = {}
        for name, (outcome, reason) in sorted(results.items()):
            groups.setdefault(name.partition("/")[0], Counter())[outcome] += 1
            if outcome != "pass":
                cases.setdefault(outcome, {}).setdefault(reason, []).append(name.partition("/")[2])
        total = dict(sorted(counts(results).items()))
        record[backend] = {
            "counts": total,
            "groups": {group: dict(sorted(number.items())) for group, number in sorted(groups.items())},
            "cases": cases,
        }
    import jax

    return {"jax": jax.__version__, "every": every, "backends": record}


def kind_of(reason: str) -> str:
    """A reason without the names and numbers of one case."""
    short = re.sub(r"'[^']*'", "...", reason)
    short = re.sub(r"\d+(\.\d+)?(e-?\d+)?", "n", short)
    return re.sub(r"\[[^\]]*\]", "", short).replace("|", "/")[:160]


def page(stated: Mapping[str, Any]) -> str:
    """The page: counts, then the groups that do not pass whole, then the reasons."""
    record, every = stated["backends"], stated["every"]
    part = "The" if every == 1 else f"One in {every} of the"
    lines = [
        "<!-- Generated by tests/third_party/jax_harnesses.py --write. Do not edit. -->",
        "",
        "# JAX coverage",
        "",
        f"{part} primitive harnesses of JAX {stated['jax']} that it runs on the CPU: each is captured with "
        "`kx.capture`, run on each backend, and compared with what JAX computes (relative 1e-10 in float64, 2e-5 in float32, two units in "
        "the last place of 16-bit floats; a tenth of that of the largest value; integers exactly; vectors of "
        "`qr` and `eig` up to sign, those of `eigh` and `svd` by their products; equal elements of unstable sorts and "
        "approximate searches in any order). *Refused*: an error names the reason. *Gap*: a NaN that the backend's own "
        "kernel passes over (named in its gaps.toml) or that JAX orders by its sign bit, or an empty tensor that the "
        "kernel raises an error for. *Wrong*: anything else.",
        "",
        "| backend | cases | pass | refused | gap | wrong | passed |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for backend, entry in record.items():
        number = Counter(entry["counts"])
        total = sum(number.values())
        row = f"{total} | {number['pass']} | {number['refused']} | {number['gap']} | {number['wrong']}"
        lines.append(f"| {backend} | {row} | {100 * number['pass'] / total:.1f} % |")
    return "\n".join([*lines, *_groups(record), *_reasons(record)]) + "\n"


def _groups(record: Mapping[str, Any]) -> list[str]:
    """Groups that do not pass whole on every backend: passed of all."""
    names = sorted({group for entry in record.values() for group in entry["groups"]})
    lines = ["", "## Groups with cases that do not pass", "", f"| group | {' | '.join(record)} |"]
    lines.append("|---|" + "---:|" * len(record))
    for name in names:
        numbers = [Counter(entry["groups"].get(name, {})) for entry in record.values()]
        if any(number["pass"] < sum(number.values()) for number in numbers):
            cells = [f"{number['pass']}/{sum(number.values())}" for number in numbers]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _reasons(record: Mapping[str, Any]) -> list[str]:
    """For the first backend every reason, for the others those that the first does not have."""
    lines: list[str] = []
    base: set[str] = set()
    for backend, entry in record.items():
        groups: dict[Outcome, list[str]] = {}
        for outcome, reasons in entry["cases"].items():
            for reason, names in reasons.items():
                groups.setdefault((outcome, kind_of(reason)), []).extend(n for n in names if n not in base)
        title = f"## {backend}" if not base else f"## {backend}, beyond what the first backend does not pass"
        lines += ["", title, "", "| outcome | reason | cases | for example |", "|---|---|---:|---|"]
        ordered = sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1]), item[0][1]))
        lines += [f"| {o} | {reason} | {len(names)} | {names[0]} |" for (o, reason), names in ordered if names]
        base = base or {n for reasons in entry["cases"].values() for names in reasons.values() for n in names}
    return lines


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", action="append", help="numpy, jax, ...; may be given more than once")
    parser.add_argument("-k", dest="only", default="", help="only cases whose name contains this")
    parser.add_argument("--every", type=int, default=1, help="only every so many cases")
    parser.add_argument("--start", type=int, default=0, help="how many to skip first")
    parser.add_argument("--cache", type=Path, help="a file of outcomes, read and appended to")
    parser.add_argument("--retry", action="store_true", help="run again what did not pass in the cache")
    parser.add_argument("--write", action="store_true", help="write docs/coverage/jax.md and jax.json")
    parser.add_argument("-q", "--quiet", action="store_true", help="print no single case")
    options = parser.parse_args()
    chosen = sample(options.every, options.start, options.only)
    found = run(chosen, options.backend or BACKENDS, quiet=options.quiet, cache=options.cache, retry=options.retry)
    print("\n".join(summary(backend, results) for backend, results in found.items()))
    if options.write:
        record = records(found, options.every)
        RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(record), encoding="utf-8")
    return 1 if any(counts(results)["wrong"] for results in found.values()) else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
