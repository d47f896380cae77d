"""Run in a process of its own: opens hostile files one after the other and reports what each one did.

Standard input: JSON `{"honest": path or null, "cases": [[key, action, path], ...]}`. Standard output: one JSON line before
each case and one after it, so that a crash or a hang has a name.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

HANG_SECONDS = 12
PARSER = str(Path(__file__).resolve().parents[2] / "converters" / "kxchange_jax" / "artifact_child.py")
WRITES = {
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"),
    *(
        "shutil.copyfile",
        "shutil.move",
        "shutil.rmtree",
        "shutil.unpack_archive",
        "tempfile.mkstemp",
        "tempfile.mkdtemp",
    ),
}
CHILDREN = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
}
CODE = {"pickle.find_class", "ctypes.dlopen", "code.__new__", "function.__new__", "webbrowser.open", "urllib.Request"}


class Watch:
    """What Python did while a case was open."""

    def __init__(self) -> None:
        self.active = False
        self.seen: list[str] = []
        sys.addaudithook(self.hook)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open":
            path, mode, flags = args
            if isinstance(path, int) or path == os.devnull:
                return  # wraps what is open already; goes nowhere
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & (
                os.O_WRONLY | os.O_RDWR | os.O_CREAT
            ):
                self.seen.append(f"open for writing: {path!r}")
        elif event == "import":
            # What the file names must never be imported; what our own readers import lazily may be.
            if str(args[0]).split(".")[0] in ("kx_trap", "antigravity", "this"):
                self.seen.append(f"import {args[0]}")
        elif event == "subprocess.Popen" and tuple(args[1][1:]) == ("-P", PARSER):
            return  # our own program, which is named by no file: see kxchange_jax.artifact_parser
        elif event in WRITES or event in CHILDREN or event in CODE or event.startswith("socket."):
            self.seen.append(f"{event}{args[:2]!r}"[:200])


def load(path: Path) -> Any:
    import kxchange as kx

    model = kx.load(path)
    for entry in model.parameters.values():
        # A lazily read tensor is part of opening; the bytes of a mapped one are not.
        _ = entry.array.dtype
    return model


def verify(path: Path) -> Any:
    from kxchange.format.model_file import load_model

    return load_model(path, verify=True)


def samples(path: Path) -> Any:
    """Read as inputs for a model."""
    from kxchange.validation.cases import read_samples

    return read_samples(path)


def run(path: Path) -> Any:
    """Load, then run on ones."""
    import numpy as np

    model = load(path)
    shapes = {name: [2 if not isinstance(d, int) else d for d in t.shape] for name, t in model.main.input_types.items()}
    model(**{n: np.ones(shapes[n], t.dtype.numpy) for n, t in model.main.input_types.items()})
    return model


def inspect(path: Path) -> Any:
    """`kx inspect --graph --weights`, its output printable and free of controls."""
    import contextlib
    import io

    from kxchange.cli import main

    output, code = io.StringIO(), None
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            main(["inspect", "--graph", "--weights", "--ops", str(path)])
        except SystemExit as exit:
            code = exit.code
    found = [char for char in output.getvalue() if not (char.isprintable() or char in "\n\t")]
    assert not found, f"the terminal would get {found!r}"
    assert code in (0, None), output.getvalue()


def shrink(path: Path) -> Any:
    """Cut the file between opening it and reading it."""
    import kxchange as kx

    model = kx.load(path)
    os.truncate(path, 4096)
    return [entry.array.sum() for entry in model.parameters.values()]


def mischief(path: Path) -> None:
    """Everything that a hostile file may not bring about: what the tests of the probe itself open."""
    import contextlib
    import pickle
    import socket
    import subprocess

    (path.parent / "left").write_text("x")
    subprocess.run(["true"], check=True)
    socket.socket().close()
    with contextlib.suppress(ImportError):
        __import__("kx_trap")
    pickle.loads(b"cos\ngetpid\n)R.")
    _ = bytearray(400 * 2**20)
    deadline = time.process_time() + 2.5
    while time.process_time() < deadline:
        pass


ACTIONS = {
    "mischief": mischief,
    "load": load,
    "verify": verify,
    "run": run,
    "inspect": inspect,
    "shrink": shrink,
    "samples": samples,
}


def peak_start() -> int:
    """Forget the peak so far; the resident kilobytes now."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0


def one(watch: Watch, action: str, path: Path) -> dict[str, Any]:
    from kxchange.errors import KxchangeError

    before, start = peak_start(), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
    watch.seen = []
    outcome, message = "loaded", ""
    # The cut of `shrink` is ours.
    watch.active = action != "shrink"
    try:
        ACTIONS[action](path)
    except KxchangeError as error:
        outcome, message = "refused", f"{type(error).__name__}: {error}"
    except BaseException as error:
        outcome, message = "raised", f"{type(error).__module__}.{type(error).__name__}: {error}"
    finally:
        watch.active = False
        signal.setitimer(signal.ITIMER_PROF, 0)
    cpu = time.process_time() - start
    return {
        "outcome": outcome,
        "message": message[:2000],
        "seconds": cpu,
        "megabytes": (status("VmHWM") - before) / 1024,
        "seen": watch.seen,
    }


def main() -> None:
    task = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
    import kxchange as kx

    watch = Watch()
    if task["honest"]:
        kx.load(task["honest"])
    for key, action, path in task["cases"]:
        print(json.dumps({"begin": key}), flush=True)
        print(json.dumps({"key": key, **one(watch, action, Path(path))}), flush=True)


if __name__ == "__main__":
    main()
