"""Tries cases one after the other and reports on standard output; started by `fuzz.py`, which also survives its death.

A case that takes too long ends this process: no handler in Python would run while a library below is in a loop.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz.cases import Trial, make  # noqa: E402
from fuzz.targets import TARGETS  # noqa: E402

HANG_SECONDS = 20
REPORT_SECONDS = 2.0
RENEW_SECONDS = 300.0
"""A fresh process now and then: what a library never gives back belongs to no case."""


def work(order: dict[str, Any], report: Any) -> None:
    seeds, number, tally, broken = TARGETS[order["target"]].seeds(), order["start"], Counter[str](), []
    now = time.monotonic()
    until, told = now + min(RENEW_SECONDS, order["seconds"] or RENEW_SECONDS), now
    mark = os.open(order["mark"], os.O_WRONLY)
    report({"next": number, "tally": {}, "broken": []})
    with Trial(order["target"]) as trial:
        while now < until and (order["stop"] is None or number < order["stop"]):
            os.pwrite(mark, b"%20d" % number, 0)
            signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
            outcome, how = trial.run(make(order["target"], order["seed"], number, seeds))
            signal.setitimer(signal.ITIMER_PROF, 0)
            tally[outcome] += 1
            if outcome == "broken":
                broken.append((number, how))
            number, now = number + 1, time.monotonic()
            if now > told + REPORT_SECONDS:
                report({"next": number, "tally": tally, "broken": broken})
                told, tally, broken = now, Counter[str](), []
                gc.collect()
    report({"next": number, "tally": tally, "broken": broken})


def main() -> None:
    faulthandler.enable()
    # The trace is written from below Python, and then the signal ends the process.
    faulthandler.register(signal.SIGPROF, chain=True)
    # What libraries print on standard output must not mix with the reports.
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    work(json.loads(sys.argv[1]), lambda report: print(json.dumps(report), file=stream, flush=True))
    stream.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
