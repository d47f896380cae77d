"""A model on Ray Serve: `serve run app:app` in this folder. The replicas run the code of `kx serve`."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


class Replica:
    """One copy: loads and proves the model before it takes requests, and answers the protocol's REST addresses."""

    def __init__(self, folder: str) -> None:
        from kxchange.serving.app import App, State
        from kxchange.serving.limits import Limits
        from kxchange.serving.logs import Log
        from kxchange.serving.repository import find_models
        from kxchange.serving.served import Options

        limits = Limits()
        repository = find_models([folder], Options(limits=limits, threads=1))
        for entry in repository.all():
            repository.load(entry)
        self.app = App(State(repository, limits, Log()))

    async def __call__(self, request: Any) -> Any:
        """One request, as Starlette has it, through the same application as everywhere."""
        response: Any = import_module("starlette.responses").Response
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)
            await asyncio.sleep(0)

        await self.app(request.scope, request.receive, send)
        body = b"".join(bytes(part.get("body", b"")) for part in sent[1:])
        answer = response(body, sent[0]["status"])
        answer.raw_headers = sent[0]["headers"]
        return answer


def application(folder: Path) -> Any:
    """The Ray application of a folder that `kx deploy --to ray` wrote."""
    serve: Any = import_module("ray.serve")
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    replicas = int(settings["replicas"])
    deployment = serve.deployment(
        name=str(settings["name"]),
        autoscaling_config={"min_replicas": replicas, "max_replicas": 4 * replicas},
        max_ongoing_requests=64,
    )(Replica)
    return deployment.bind(str(folder))


if (FOLDER / "settings.json").is_file():
    app = application(FOLDER)
