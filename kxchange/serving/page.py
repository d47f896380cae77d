"""The page for people: models, what goes in and out, a form, live plots, the evidence. No script from elsewhere."""

from __future__ import annotations

import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kxchange.serving.errors import NotFoundError
from kxchange.serving.plots import latency_plot, throughput_plot

if TYPE_CHECKING:
    from kxchange.serving.app import State
    from kxchange.serving.repository import Entry

TEMPLATES = Path(__file__).parent
HTML, SVG = b"text/html; charset=utf-8", b"image/svg+xml"


@cache
def template(name: str) -> Any:
    """A template, with everything that comes from a model escaped.

    Raises:
        NotFoundError: jinja2 is not installed.
    """
    if find_spec("jinja2") is None:
        raise NotFoundError('the page needs jinja2 on the server: pip install "kxchange[report]".')
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string((TEMPLATES / name).read_text(encoding="utf-8"))


def render(state: State, path: str) -> tuple[bytes, bytes]:
    """Content type and content of ``/`` and of the parts that the page loads again and again.

    Raises:
        NotFoundError: There is no such address.
    """
    if path == "/":
        text = template("page.html").render(models=[describe(entry) for entry in state.repository.all()], state=state)
        return HTML, text.encode()
    parts = path.split("/")
    if len(parts) == 5 and parts[4] in ("latency.svg", "throughput.svg"):
        served = state.repository.served(parts[2], parts[3])
        draw = latency_plot if parts[4] == "latency.svg" else throughput_plot
        return SVG, draw(list(served.statistics.latest), time.perf_counter()).encode()
    raise NotFoundError("there is no such address.")


def describe(entry: Entry) -> dict[str, Any]:
    """What the page says of a model."""
    served = entry.served
    facts: dict[str, Any] = {"name": entry.name, "version": entry.version, "state": entry.state}
    if served is None:
        return facts | {"loaded": False}
    return facts | {
        "loaded": True,
        "inputs": list(served.signature.inputs.values()),
        "outputs": list(served.signature.outputs.values()),
        "proof": served.proof.to_json() if served.proof else None,
        "evidence": [summary(record) for record in served.model.evidence],
        "parameters": len(served.model.parameters),
        "bytes": served.parameter_bytes,
        "batching": served.batching,
        "provenance": {str(key): str(value)[:200] for key, value in served.model.provenance.items()},
    }


def summary(record: dict[str, Any]) -> str:
    """One line of a stored validation."""
    return ", ".join(f"{key}: {value}" for key, value in record.items() if isinstance(value, str | int | float))[:500]
