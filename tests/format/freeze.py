"""Writes the frozen files of this version of the format: `python tests/format/freeze.py`. Run once for a version.

Files that are there are never written again: what a released version wrote is what every later one must read. Expected
outputs come from the formulas here, not from kxchange.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz.models import every_feature  # noqa: E402
from hostile.honest_files import read_header, spell, write_header  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange.format.model_file import identify  # noqa: E402

FROZEN = Path(__file__).resolve().parents[1] / "data" / "kx1"
W, B = np.arange(16, dtype=np.float32).reshape(4, 4), np.arange(4, dtype=np.float32)
Arrays = dict[str, Any]


def dense(x: Any) -> Arrays:
    return {"y": np.maximum(x @ W.T + B, 0)}


def added(x: Any) -> Arrays:
    """0 to 5 was added from float16, bfloat16, float32 and int32."""
    return {"y": x + 4 * np.arange(6, dtype=np.float32).reshape(2, 3)}


def loops(xs: Any, start: Any) -> Arrays:
    rows = start + np.cumsum(xs, axis=0)
    half = rows[-1]
    while np.abs(half).sum() > 1:
        half = half * np.float32(0.5)
    # The first branch is taken for false.
    chosen = np.exp(half) if start.sum() > 0 else -half
    return {"last": rows[-1], "rows": rows * 2, "half": half, "chosen": chosen}


def sized(x: Any) -> Arrays:
    return {"y": x.reshape(x.shape[0] * 2, x.shape[1] // 2), "size": np.int64(x.shape[1] + 1)}


def counted(x: Any, count: Any) -> Arrays:
    return {"y": x * np.float32(count + 1), "count.next": count + 1}


def largest(x: Any) -> Arrays:
    found = x + np.array([1, 5, 7, 2], np.float32)
    order = np.argsort(-found)[:2]
    return {"y": found[order], "places": order}


WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)
FORMULAS: dict[str, dict[str, Any]] = {
    **{name: {"main": dense} for name in ("aliases", "samples", "evidence")},
    "dtypes": {"main": added},
    "functions": {"encode": lambda x: {"code": x @ WEIGHT.T}, "decode": lambda z: {"y": z @ WEIGHT}},
    "control flow": {"main": loops},
    "dims": {"main": sized},
    "state": {"main": counted},
    "attributes": {"main": largest},
}


def cases(feature: str, model: Any) -> Arrays:
    """Inputs and outputs by `function/inputs/name`; every symbol has a size of its own."""
    rng, found = np.random.default_rng(len(feature)), Arrays()
    for function, formula in FORMULAS[feature].items():
        inputs = {}
        for name, type in model.functions[function].input_types.items():
            sizes = {"batch": 3, "height": 2, "time": 5}
            shape = [
                dim if isinstance(dim, int) else 4 if str(dim) == "2*height" else sizes[str(dim)] for dim in type.shape
            ]
            values = rng.normal(size=shape) if type.dtype.value == "float32" else np.array(6)
            inputs[name] = np.asarray(values, type.dtype.numpy)
        outputs = formula(**inputs)
        for side, arrays in (("inputs", inputs), ("outputs", outputs)):
            found |= {f"{function}/{side}/{name}": np.asarray(array) for name, array in arrays.items()}
    return found


def future(path: Path) -> None:
    """Files that a later version might write."""
    table, data = read_header(path.read_bytes())
    document = json.loads(table["__metadata__"]["kx"])
    for name, change in {
        "feature": {"features": ["integrity", "warp-drive"]},
        "reader": {"kx": 2, "min_reader": 2},
        "op": {"ops": document["ops"] | {"linear": 99}},
        "unknown op": {"ops": document["ops"] | {"warp": 1}},
    }.items():
        table["__metadata__"]["kx"] = spell(document | change)
        target = FROZEN / "future" / f"{name.replace(' ', '_')}.kx"
        target.parent.mkdir(exist_ok=True)
        if not target.exists():
            target.write_bytes(write_header(table, data))


def main() -> None:
    for feature, model in every_feature().items():
        folder = FROZEN / feature.replace(" ", "_")
        if folder.exists():
            continue
        folder.mkdir(parents=True)
        path = kx.save(model, folder / "model.kx")[0]
        np.savez(folder / "cases.npz", **cases(feature, model))
        (folder / "id.txt").write_text(identify(path) + "\n")
    kx.save(every_feature()["aliases"], FROZEN / "future.kx")
    future(FROZEN / "future.kx")
    (FROZEN / "future.kx").unlink()
    sharded = FROZEN / "sharded"
    if not sharded.exists():
        sharded.mkdir()
        path = kx.save(every_feature()["aliases"], sharded / "model.kx", max_shard_size=70)[0]
        np.savez(sharded / "cases.npz", **cases("aliases", every_feature()["aliases"]))
        (sharded / "id.txt").write_text(identify(path) + "\n")


if __name__ == "__main__":
    main()
