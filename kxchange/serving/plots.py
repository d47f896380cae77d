"""Live plots as SVG, drawn on the server: nothing to load, nothing to run in the browser."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT, LEFT, BOTTOM = 360.0, 120.0, 52.0, 18.0
SECONDS = 60
"""The time shown."""
STYLE = "font:10px sans-serif;fill:#555"
QUANTILES = ((0.5, "#2a78b5"), (0.99, "#c9542b"))


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def by_second(latest: Sequence[tuple[float, float]], now: float) -> list[list[float]]:
    """Milliseconds of the requests in each of the last seconds, the oldest first."""
    found: list[list[float]] = [[] for _ in range(SECONDS)]
    for when, took in latest:
        age = int(now - when)
        if 0 <= age < SECONDS:
            found[SECONDS - 1 - age].append(took)
    return found


def latency_plot(latest: Sequence[tuple[float, float]], now: float) -> str:
    """Median and 99th percentile per second."""
    seconds = by_second(latest, now)
    curves = [
        ([quantile(values, share) if values else None for values in seconds], color) for share, color in QUANTILES
    ]
    return figure(curves, "ms (median, p99)")


def throughput_plot(latest: Sequence[tuple[float, float]], now: float) -> str:
    """Requests per second."""
    return figure([([float(len(values)) for values in by_second(latest, now)], QUANTILES[0][1])], "requests / s")


def figure(curves: Sequence[tuple[Sequence[float | None], str]], label: str) -> str:
    """Curves over the last minute."""
    top = max((value for values, _ in curves for value in values if value is not None), default=0.0) or 1.0
    body = "".join(polyline(values, color, top) for values, color in curves)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{WIDTH:g}" '
        f'height="{HEIGHT:g}"><text x="2" y="12" style="{STYLE}">{top:.3g}</text>'
        f'<text x="2" y="{HEIGHT - BOTTOM:g}" style="{STYLE}">0</text>'
        f'<text x="{LEFT:g}" y="{HEIGHT - 4:g}" style="{STYLE}">{label}, last minute</text>'
        f'<path d="M{LEFT:g} 4V{HEIGHT - BOTTOM:g}H{WIDTH:g}" stroke="#aaa" fill="none"/>{body}</svg>'
    )


def polyline(values: Sequence[float | None], color: str, top: float) -> str:
    """One curve with gaps where nothing was measured."""
    step = (WIDTH - LEFT) / max(1, len(values) - 1)
    points = [
        (LEFT + step * number, 4 + (HEIGHT - BOTTOM - 4) * (1 - value / top))
        for number, value in enumerate(values)
        if value is not None
    ]
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.5" fill="{color}"/>' for x, y in points)
    return f'<polyline points="{text}" fill="none" stroke="{color}"/>{dots}'
