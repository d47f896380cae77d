"""The onnx package's own backend tests through kxchange: load, run on a backend, compare.

    python tests/third_party/onnx_node_tests.py --write               every suite, docs/coverage/onnx.md and .json
    python tests/third_party/onnx_node_tests.py --backend numpy -k relu    some cases, print what did not pass

Each case is ``pass``, ``bound`` (passes once inputs that ONNX allows to be data, such as a shape, are bound as
constants), ``refused`` (with the reason) or ``wrong``. There is no other outcome: a crash is ``wrong``.
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
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
BACKENDS = ("numpy", "torch", "jax", "tensorflow", "onnx")
RUNTIME = "onnxruntime"
"""ONNX Runtime on the file as it is, without kxchange: what the row of the backend `onnx` is to be compared with."""
DEPENDS = re.compile(r"depends on the inputs? ((?:'[^']*'(?:, )?)+)")
TWO_UNITS = {"float16": 2**-9, "bfloat16": 2**-6}
"""Two units in the last place of the narrow floats: onnx's own runner allows them for bfloat16."""
RESULTS = ROOT / "docs" / "coverage" / "onnx.json"
PAGE = ROOT / "docs" / "coverage" / "onnx.md"


@dataclass(frozen=True)
class Case:
    """One model with its recorded inputs and outputs."""

    kind: str
    name: str
    model: Any
    sets: Sequence[tuple[Sequence[Any], Sequence[Any]]]
    rtol: float
    atol: float


def cases(kinds: Sequence[str] = KINDS, only: str = "") -> Iterator[Case]:
    """The cases of the installed onnx package, by name."""
    from onnx.backend.test.loader import load_model_tests

    for kind in kinds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = sorted(load_model_tests(kind=kind), key=lambda case: case.name)
        for case in found:
            if only in case.name:
                yield _read(kind, case)


def _read(kind: str, case: Any) -> Case:
    import onnx

    if case.model is not None:
        sets = [([_plain(x) for x in inputs], [_plain(y) for y in outputs]) for inputs, outputs in case.data_sets]
        return Case(kind, case.name, case.model, sets, case.rtol, case.atol)
    folder = Path(case.model_dir)
    model = onnx.load(folder / "model.onnx")
    sets = []
    for data in sorted(folder.glob("test_data_set_*")):
        inputs = [_tensor(data / f"input_{i}.pb", item) for i, item in enumerate(model.graph.input[: _count(data)])]
        outputs = [_tensor(data / f"output_{i}.pb", item) for i, item in enumerate(model.graph.output)]
        sets.append((inputs, outputs))
    return Case(kind, case.name, model, sets, case.rtol, case.atol)


def _plain(value: Any) -> Any:
    import onnx

    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _count(folder: Path) -> int:
    return len(list(folder.glob("input_*.pb")))


def _tensor(path: Path, info: Any) -> Any:
    import onnx

    data = path.read_bytes()
    if info.type.WhichOneof("value") == "sequence_type":
        return onnx.numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if info.type.WhichOneof("value") == "optional_type":
        return onnx.numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return onnx.numpy_helper.to_array(onnx.TensorProto.FromString(data))


def judge(case: Case, backend: str, *, symbolic: bool = False) -> tuple[str, str]:
    """The outcome of one case and its reason."""
    from kxchange.errors import KxchangeError

    if backend == RUNTIME:
        return _judge_runtime(case)
    names = [item.name for item in case.model.graph.input]
    outcomes = []
    for inputs, outputs in case.sets:
        given = dict(zip(names, inputs, strict=False))
        bound = {name: value for name, value in given.items() if not isinstance(value, np.ndarray | np.generic)}
        try:
            outcomes.append(_attempt(case, given, bound, list(outputs), backend, symbolic))
        except KxchangeError as error:
            return "refused", reason_of(error)
        except Exception as error:  # noqa: BLE001 - any other error is a fault of ours, and is counted as one
            return "wrong", f"{type(error).__name__}: {error}".splitlines()[0][:200]
    worst = next((o for o in outcomes if o[0] == "wrong"), None)
    return worst or next((o for o in outcomes if o[0] == "bound"), ("pass", ""))


def _judge_runtime(case: Case) -> tuple[str, str]:
    """What ONNX Runtime itself makes of the file."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(case.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for inputs, outputs in case.sets:
            fault = difference(_runtime_outputs(session, inputs), _flat(outputs), case.rtol, case.atol)
            if fault:
                return "wrong", fault
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions share no public base class
        return "refused", str(error).splitlines()[0][:200]
    return "pass", ""


def _runtime_outputs(session: Any, inputs: Sequence[Any]) -> list[Any]:
    import onnxruntime as ort

    from kxchange.types import DType
    from kxchange_onnx.session import _array, _is_plain, _ort_value

    wanted = session.get_inputs()
    feeds = {item.name: value for item, value in zip(wanted, inputs, strict=False) if value is not None}
    if all(_is_plain(item.type) for item in (*wanted, *session.get_outputs())):
        return _flat(session.run(None, feeds))
    dtypes = {
        name: DType.of(helper_dtype(name)) for name in {item.type[7:-1] for item in session.get_outputs()}
    }
    values = {
        name: value if isinstance(value, ort.OrtValue) else _ort_value(np.asarray(value)) for name, value in feeds.items()
    }
    results = session.run_with_ort_values([item.name for item in session.get_outputs()], values)
    return [_array(value, dtypes[item.type[7:-1]]) for value, item in zip(results, session.get_outputs(), strict=True)]


def helper_dtype(name: str) -> Any:
    """The NumPy type of an element type as ONNX Runtime names it."""
    import onnx

    wire = {"float": "FLOAT", "double": "DOUBLE"}.get(name, name.upper())
    return onnx.helper.tensor_dtype_to_np_dtype(getattr(onnx.TensorProto, wire))


def _flat(outputs: Sequence[Any]) -> list[Any]:
    """The tensors of outputs, some of which are sequences."""
    return [item for output in outputs for item in (output if isinstance(output, list) else [output])]


def _attempt(
    case: Case, given: dict[str, Any], bound: dict[str, Any], outputs: list[Any], backend: str, symbolic: bool
) -> tuple[str, str]:
    import kxchange as kx
    from kxchange.errors import UnsupportedOpError

    while True:
        try:
            model = kx.capture(case.model, constants=bound, **_dims(case, given, bound) if symbolic else {})
            break
        except UnsupportedOpError as error:
            wanted = {name for match in DEPENDS.findall(str(error)) for name in re.findall(r"'([^']*)'", match)}
            more = {name: given[name] for name in wanted if name in given and name not in bound}
            if not more:
                raise
            bound = {**bound, **more}
    inputs = {name: np.asarray(value) for name, value in given.items() if name in model.input_names}
    found = kx.run(model, inputs, backend=backend)
    fault = difference(list(found.values()), _flat(outputs), case.rtol, case.atol)
    if fault:
        return "wrong", fault
    return ("bound", ", ".join(sorted(bound))) if bound else ("pass", "")


def _dims(case: Case, given: Mapping[str, Any], bound: Mapping[str, Any]) -> dict[str, Any]:
    """Every size of every input under a name of its own."""
    return {
        "dynamic": {
            name: tuple(f"{re.sub('[^A-Za-z0-9_]', '_', name)}_{axis}" for axis in range(np.ndim(value)))
            for name, value in given.items()
            if name not in bound and name not in {tensor.name for tensor in case.model.graph.initializer}
        }
    }


def difference(found: Sequence[Any], wanted: Sequence[Any], rtol: float, atol: float) -> str:
    """How results differ from what was recorded; empty if they do not."""
    if len(found) != len(wanted):
        return f"{len(found)} outputs, not {len(wanted)}"
    for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
        b = np.asarray(b)
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"output {index} is {a.dtype.name}{list(a.shape)}, not {b.dtype.name}{list(b.shape)}"
        if b.dtype.kind in "OUS" or not _close(a, b, rtol, atol):
            return f"output {index} has other values"
    return ""


def _close(a: Any, b: Any, rtol: float, atol: float) -> bool:
    if b.dtype.kind in "biu":
        return bool(np.array_equal(a, b))
    wide = np.complex128 if b.dtype.kind == "c" else np.float64
    rtol = max(rtol, TWO_UNITS.get(b.dtype.name, 0.0))
    found, wanted = a.astype(wide), b.astype(wide)
    finite = np.abs(wanted[np.isfinite(wanted)])
    # Where terms cancel, what is left is the recording's own rounding: it scales with the terms.
    floor = atol * max(1.0, float(finite.max(initial=0.0)))
    return bool(np.allclose(found, wanted, rtol=rtol, atol=floor, equal_nan=True))


def reason_of(error: Exception) -> str:
    """The reason of a refusal in one line, without the names of one case."""
    from kxchange.errors import UnsupportedOpError

    if isinstance(error, UnsupportedOpError):
        return "; ".join(f"{blocker.op}: {blocker.reason}" for blocker in error.blockers)[:300]
    return str(error).splitlines()[0][:300]


def run(kinds: Sequence[str], backend: str, only: str, symbolic: bool) -> dict[str, dict[str, tuple[str, str]]]:
    """Outcome and reason by suite and case."""
    results: dict[str, dict[str, tuple[str, str]]] = {}
    for case in cases(kinds, only):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.setdefault(case.kind, {})[case.name] = judge(case, backend, symbolic=symbolic)
    return results


def counts(results: Mapping[str, tuple[str, str]]) -> Counter[str]:
    """Number of cases by outcome."""
    return Counter(outcome for outcome, _ in results.values())


def summary(results: Mapping[str, Mapping[str, tuple[str, str]]]) -> str:
    """One line per suite."""
    lines = []
    for kind, found in results.items():
        number, total = counts(found), len(found)
        passed = number["pass"] + number["bound"]
        lines.append(
            f"{kind}: {passed}/{total} = {100 * passed / max(total, 1):.1f}% ({number['pass']} as they are, "
            f"{number['bound']} with inputs bound), {number['refused']} refused, {number['wrong']} wrong"
        )
    return "\n".join(lines)


def records(found: Mapping[str, Mapping[str, Mapping[str, tuple[str, str]]]]) -> dict[str, Any]:
    """What is written to the file of results: counts, and every case that is not a plain pass."""
    return {
        backend: {
            kind: {
                "counts": dict(sorted(counts(by_name).items())),
                "cases": {name: list(entry) for name, entry in sorted(by_name.items()) if entry[0] != "pass"},
            }
            for kind, by_name in results.items()
        }
        for backend, results in found.items()
    }


def kind_of(reason: str) -> str:
    """A reason without the names and numbers of one case."""
    short = re.sub(r"'[^']*'", "...", reason)
    short = re.sub(r"\d+(\.\d+)?(e-?\d+)?", "n", short)
    return re.sub(r"\[[^\]]*\]", "", short).replace("|", "/")[:160]


def page(found: Mapping[str, Any]) -> str:
    """The page: one table of counts, then the reasons of each backend."""
    import onnx

    head = [
        "<!-- Generated by tests/third_party/onnx_node_tests.py --write. Do not edit. -->",
        "",
        "# ONNX coverage",
        "",
        f"The backend tests of onnx {onnx.__version__}, read with `kx.capture` and run on each backend. A case passes if "
        "every output has the recorded dtype, shape and values (relative 1e-3, two units in the last place of 16-bit "
        "floats, absolute 1e-7 of the largest value). *Bound*: it passes once inputs that ONNX allows to be data, such as "
        "the shape of `Reshape`, are bound with `constants=`. *Refused*: an error names the reason. *Wrong*: anything else.",
        "",
        "| backend | suite | cases | pass | bound | refused | wrong | passed |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for backend, results in found.items():
        for kind, entry in results.items():
            number = Counter(entry["counts"])
            total = sum(number.values())
            share = 100 * (number["pass"] + number["bound"]) / total
            row = (number["pass"], number["bound"], number["refused"], number["wrong"])
            head.append(f"| {backend} | {kind} | {total} | {' | '.join(map(str, row))} | {share:.1f} % |")
    return "\n".join([*head, *_reasons(found)]) + "\n"


def _reasons(found: Mapping[str, Any]) -> list[str]:
    """For the first backend every reason, for the others those that the first does not have."""
    lines: list[str] = []
    base: set[tuple[str, str]] = set()
    for backend, results in found.items():
        groups: dict[tuple[str, str], list[str]] = {}
        lost: set[tuple[str, str]] = set()
        for kind, entry in results.items():
            for name, (outcome, reason) in entry["cases"].items():
                if outcome == "bound":
                    continue
                lost.add((kind, name))
                if (kind, name) not in base:
                    groups.setdefault((outcome, kind_of(reason)), []).append(name)
        title = f"## {backend}" if not base else f"## {backend}, beyond what the first backend does not pass"
        lines += ["", title, "", "| outcome | reason | cases | for example |", "|---|---|---:|---|"]
        ordered = sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1]), item[0][1]))
        lines += [f"| {o} | {reason} | {len(names)} | {names[0]} |" for (o, reason), names in ordered]
        base = base or lost
    return lines


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", action="append", help="numpy, torch, ...; may be given more than once")
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("-k", dest="only", default="", help="only cases whose name contains this")
    parser.add_argument("--symbolic", action="store_true", help="give every input dim a name of its own")
    parser.add_argument("--json", help="write outcomes by case here")
    parser.add_argument("--write", action="store_true", help="write docs/coverage/onnx.md and onnx.json")
    parser.add_argument("-q", "--quiet", action="store_true", help="print no single case")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for backend in options.backend or BACKENDS:
        results = run(options.kind or KINDS, backend, options.only, options.symbolic)
        found[backend] = results
        for kind, by_name in results.items():
            for name, (outcome, reason) in by_name.items():
                if outcome in ("refused", "wrong") and not options.quiet:
                    print(f"{backend} {kind} {name}: {outcome}: {reason}")
        print(f"[{backend}]\n{summary(results)}", flush=True)
    record = records(found)
    for path in [options.json] * bool(options.json) + [RESULTS] * options.write:
        Path(path).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if options.write:
        PAGE.write_text(page(record), encoding="utf-8")
    wrong = sum(counts(by_name)["wrong"] for results in found.values() for by_name in results.values())
    return 1 if wrong else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
