"""What users wait for, beside the peer or the physical limit in one run: `make bench`, or `make bench ARGS="open save"`.

Each section prints its rows as it goes and replaces its part of `docs/benchmarks.json`; the page is made from that.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
from dataclasses import asdict
from datetime import date
from pathlib import Path

from benchmarks import page
from benchmarks.rows import Row


def machine() -> str:
    """Processor, cores and Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def show(row: Row) -> None:
    """One line on the terminal."""
    missed = " MISSED" if row.target is not None and row.ratio > row.target else ""
    print(
        f"  {row.case:40} {row.ours:10.3f} {row.unit:3} {row.peer:28} {row.theirs:10.3f}  ratio {row.ratio:.3f}{missed}",
        flush=True,
    )


def main() -> None:
    """Run the sections asked for; all of them by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(page.SECTIONS)}")
    parser.add_argument("--keep", action="store_true", help="do not touch the page")
    options = parser.parse_args()
    for name in options.sections or page.SECTIONS:
        if name not in page.SECTIONS:
            parser.error(f"there is no section {name!r}; there are {', '.join(page.SECTIONS)}")
        section = importlib.import_module(page.SECTIONS[name])
        print(f"{section.TITLE}: {section.ABOUT}", flush=True)
        found: list[Row] = []
        for row in section.rows():
            show(row)
            found.append(row)
        entry = {
            "title": section.TITLE,
            "about": section.ABOUT,
            "rows": [asdict(row) for row in found],
            "machine": machine(),
            "date": date.today().isoformat(),
        }
        if not options.keep:
            page.store(name, entry)
            page.plot(name, entry)
    if not options.keep:
        page.PAGE.write_text(page.render(page.stored()))


if __name__ == "__main__":
    main()
