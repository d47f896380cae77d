"""`kx serve`."""

from __future__ import annotations

from typing import Any

import click


@click.command("serve")
@click.argument("sources", nargs=-1, required=True, metavar="MODEL|REPOSITORY...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8000, show_default=True, help="For REST; 0 takes a free one.")
@click.option("--grpc-port", type=int, help="For gRPC; without it there is none. 0 takes a free one.")
@click.option("--threads", type=click.IntRange(1), help="Threads per node of a model; default the runtime's choice.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Runs of one model at a time.")
@click.option("--max-batch", type=click.IntRange(0), default=0, show_default=True, help="Samples to join; 0: never.")
@click.option("--max-delay-us", type=click.IntRange(0), default=0, show_default=True, help="Wait for more to join.")
@click.option("--queue", type=click.IntRange(1), default=256, show_default=True, help="Requests waiting per model.")
@click.option("--deadline", type=click.FloatRange(0.001), default=60.0, show_default=True, help="Seconds per answer.")
@click.option("--receive-timeout", type=click.FloatRange(0.001), default=30.0, show_default=True, help="For sending.")
@click.option("--max-body", type=click.IntRange(1), default=64, show_default=True, help="MiB of a request.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=0.5,
    show_default=True,
    help="Seconds that it takes requests, not ready, at the end.",
)
@click.option(
    "--drain", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds to finish at the end."
)
@click.option("--token-file", type=click.Path(exists=True, dir_okay=False), help="Every request must carry its text.")
@click.option("--model-control", is_flag=True, help="Let clients load and unload the models named here.")
@click.option("--no-self-test", is_flag=True, help="Be ready without proof.")
@click.option("--log-json", is_flag=True, help="Log one JSON object per line.")
@click.option("-q", "--quiet", is_flag=True, help="Log errors only.")
def command(
    sources: tuple[str, ...],
    max_body: int,
    queue: int,
    deadline: float,
    receive_timeout: float,
    grace: float,
    drain: float,
    no_self_test: bool,
    **given: Any,
) -> None:
    """Serve models over the Open Inference Protocol v2, run by ONNX Runtime.

    A source is any model file, NAME=FILE, or a folder of NAME/VERSION/model.onnx. A model is ready once it has been
    loaded, warmed and proven against the reference. SIGTERM drains; a second one ends at once.

    \b
    kx serve net.kx
    kx serve digits=net.onnx --port 8080 --grpc-port 8081
    kx serve models --max-batch 32 --max-delay-us 500
    """
    from kxchange.serving.launch import launch
    from kxchange.serving.limits import Limits

    limits = Limits(
        body=max_body * 2**20, queue=queue, deadline=deadline, receive=receive_timeout, grace=grace, drain=drain
    )
    launch(sources, limits, self_test=not no_self_test, **given)
