"""The report as one HTML page that opens offline: no script, no font, no request."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from kxchange import __version__
from kxchange.errors import MissingBackendError, WriteError
from kxchange.validation.measure import DECADES
from kxchange.validation.report import Report, Row

TEMPLATE = Path(__file__).with_name("page.html")
WIDTH, HEIGHT = 640.0, 220.0
LEFT, BOTTOM = 48.0, 24.0
"""Size and margins of the plot, in its own units."""
LOWEST, HIGHEST = -18, 0
"""Decades of the plot."""
COLORS = 6
"""Line colours in the style sheet."""


def write_page(report: Report, path: Path) -> None:
    """Write the page.

    Raises:
        MissingBackendError: jinja2 is not installed.
        WriteError: the file cannot be written.
    """
    try:
        path.write_text(render_page(report), encoding="utf-8")
    except OSError as error:
        raise WriteError(f"cannot write the report to {str(path)!r}: {error.strerror}.") from error


def render_page(report: Report) -> str:
    """The page's text. Every name in it is escaped."""
    require_jinja2()
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        report=report,
        scientific=scientific,
        asked=any(row.gradients for row in report.rows),
        curves=[curve for number, row in enumerate(report.rows) if (curve := make_curve(row, number)) is not None],
        decades=[(f"1e{decade}", height(10.0**decade)) for decade in range(LOWEST, HIGHEST + 1, 3)],
        size=(WIDTH, HEIGHT, LEFT, BOTTOM),
        environment=describe_environment(report),
        bars=[found for number, row in enumerate(report.rows) if (found := make_bars(row, number)) is not None],
        names=(matrix := make_matrix(report))[0],
        matrix=matrix[1],
    )


def require_jinja2() -> None:
    """Raise where the page cannot be rendered.

    Raises:
        MissingBackendError: jinja2 is not installed.
    """
    if find_spec("jinja2") is None:
        raise MissingBackendError(
            'the HTML report needs jinja2, which is not installed. Run: pip install "kxchange[report]".'
        )


def describe_environment(report: Report) -> dict[str, str]:
    """Versions and the machine's kind."""
    versions = {name: version for row in report.rows for name, version in row.versions.items()}
    system = f"{platform.system()} {platform.machine()}"
    return {"kxchange": __version__, "Python": platform.python_version(), "system": system, **versions}


def make_curve(row: Row, number: int) -> tuple[str, int, str] | None:
    """Name, colour and points of a row's line; None where nothing was measured."""
    if not row.depth:
        return None
    return row.backend, number % COLORS, points(row.depth)


def make_bars(row: Row, number: int) -> tuple[str, int, list[tuple[float, float, str]]] | None:
    """Name, colour and bars (place, height, words) of the distribution of a row's errors over all its outputs."""
    decades = [finding.decades for finding in row.findings.get("accuracy", []) if finding.decades]
    if not decades:
        return None
    counts = [sum(column) for column in zip(*decades, strict=True)]
    tallest, total = max(counts) or 1, sum(counts) or 1
    words = [f"{count / total:.1%} of the elements: 1e{power}" for count, power in zip(counts, DECADES, strict=True)]
    return (
        row.backend,
        number % COLORS,
        [(12.0 * n, 48.0 * count / tallest, words[n]) for n, count in enumerate(counts)],
    )


def make_matrix(report: Report) -> tuple[list[str], dict[tuple[str, str], Row]]:
    """The backends of round trips, and the row of each way: through the first, then the second."""
    ways = {tuple(row.backend.removeprefix("through ").split(", then ")): row for row in report.rows}
    found = {(way[0], way[-1]): row for way, row in ways.items() if report.settings.get("round_trip")}
    names = list(dict.fromkeys(first for first, _ in found))
    return names if len(found) > len(names) else [], found


def points(errors: Sequence[float]) -> str:
    """A polyline of errors over depth, logarithmic; zeros stand at the bottom."""
    step = (WIDTH - LEFT) / max(1, len(errors) - 1)
    return " ".join(f"{LEFT + step * number:.1f},{height(error):.1f}" for number, error in enumerate(errors))


def height(error: float) -> float:
    """Vertical place of an error."""
    decade = math.log10(error) if error > 0 and math.isfinite(error) else LOWEST if error == 0 else HIGHEST
    share = (min(max(decade, LOWEST), HIGHEST) - LOWEST) / (HIGHEST - LOWEST)
    return (HEIGHT - BOTTOM) * (1.0 - share) + 4.0


def scientific(number: float) -> str:
    """A number in three digits."""
    return f"{number:.2e}"
