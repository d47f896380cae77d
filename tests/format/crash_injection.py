"""Run in a process of its own: saves a model over another one, stopped at each step in turn; prints what was found.

A step is every raw write, reservation, flush, rename, deletion and opening of a new file. At one step of each run the
process dies (before it, in the middle of a write, or after it), or the step fails with an error of the system.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.honest_files import honest_model

import kxchange as kx
from kxchange.errors import WriteError
from kxchange.format import integrity, model_file

DEAD, REFUSED, DONE, WRONG = 9, 1, 0, 7
FAILURES = {"no space": errno.ENOSPC, "no permission": errno.EACCES, "disk error": errno.EIO}
KILLS = ("before", "half", "after")


class Steps:
    """Counts steps, and stops at one of them."""

    def __init__(self, stop: int, how: str) -> None:
        self.count = 0
        self.stop = stop
        self.how = how

    def run(self, act: Callable[[], Any], half: Callable[[], Any] | None = None, *, may_fail: bool = True) -> Any:
        """One step."""
        self.count += 1
        if self.count != self.stop:
            return act()
        if self.how in FAILURES:
            if not may_fail:
                return act()
            raise OSError(FAILURES[self.how], os.strerror(FAILURES[self.how]))
        if self.how == "half" and half is not None:
            half()
        if self.how == "after":
            act()
        os._exit(DEAD)


class Raw(io.FileIO):
    """A file whose every write is a step."""

    steps: Steps

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        whole, part = super().write, view[: len(view) // 2]
        return self.steps.run(lambda: whole(view), lambda: whole(part))


def install(steps: Steps) -> None:
    """Put the steps under everything that changes a disk."""

    def stream(descriptor: int, mode: str = "r", *args: Any, **more: Any) -> Any:
        if "w" not in mode and "+" not in mode:
            return originals["fdopen"](descriptor, mode, *args, **more)
        raw = Raw(descriptor, "rb+")
        raw.steps = steps
        return io.BufferedRandom(raw, buffer_size=16)

    originals = {
        name: getattr(os, name) for name in ("fdopen", "fsync", "replace", "unlink", "posix_fallocate", "open")
    }
    os.fdopen = stream  # type: ignore[assignment]
    for name in ("fsync", "replace", "posix_fallocate"):
        setattr(os, name, lambda *args, act=originals[name]: steps.run(lambda: act(*args)))
    # A file that cannot be deleted is one that stays: no system lets a program do better.
    os.unlink = lambda *a: steps.run(lambda: originals["unlink"](*a), may_fail=False)  # type: ignore[assignment]

    def opening(path: Any, flags: int, *args: Any, **more: Any) -> int:
        act = lambda: originals["open"](path, flags, *args, **more)  # noqa: E731
        return steps.run(act) if flags & os.O_CREAT else act()

    os.open = opening  # type: ignore[assignment]


def model(new: bool) -> Any:
    made = honest_model()
    made.metadata["version"] = "new" if new else "old"
    return made


def child(path: Path, stop: int, how: str, options: dict[str, Any]) -> int:
    """Save with one step stopped, in a process of its own; how it ended."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    code = WRONG
    try:
        steps = Steps(stop, how)
        install(steps)
        kx.save(model(True), path, **options)
        code = DONE if steps.count >= stop else 100
    except WriteError:
        code = REFUSED
    finally:
        os._exit(code)


def listing(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def check(folder: Path, target: str, old: dict[str, bytes], new: dict[str, bytes], code: int, how: str) -> str:
    """What is wrong with what a stopped save left; empty if nothing is."""
    found = listing(folder)
    if code not in (DEAD, REFUSED, DONE):
        return f"ended with {code}"
    whole = [state for state in (old, new) if found.items() >= state.items()]
    if not whole:
        return f"neither the old nor the new model is there: {sorted(found)}"
    # Both, where the rename of the index could not be flushed: either may be what the disk holds after a power failure.
    if how in FAILURES and found not in (old, new, {**old, **new}):
        return f"left {sorted(found.keys() - old.keys())}"
    model_file.identify(folder / target, verify=True)
    for name in found:
        os.utime(folder / name, (0, 0))
    kx.save(model(True), folder / target.removesuffix(".index.json"), **json.loads(sys.argv[3]))
    if (after := listing(folder)) != new:
        return f"the next save left {sorted(after.keys() ^ new.keys())}"
    return ""


def main() -> None:
    folder, target, options = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    # Many small writes instead of one: more places to stop at.
    integrity.CHUNK_BYTES = 24
    path = folder / "net" / target.removesuffix(".index.json")
    path.parent.mkdir()
    states: list[dict[str, bytes]] = []
    for new in (True, False):
        kx.save(model(new), path, **options)
        states.insert(0, listing(path.parent))
    (old, new), report = states, dict[str, Any]()
    for how in (*KILLS, *FAILURES):
        stop, code, faults, dead = 1, DONE, list[str](), 0
        while code != 100 and stop < 500:
            for entry in path.parent.iterdir():
                entry.unlink()
            for name, data in old.items():
                (path.parent / name).write_bytes(data)
            code = child(path, stop, how, options)
            if code != 100:
                fault = check(path.parent, target, old, new, code, how)
                faults += [f"step {stop}: {fault}"] if fault else []
                dead += code in (DEAD, REFUSED)
                stop += 1
        report[how] = {"steps": stop - 1, "stopped": dead, "faults": faults}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
