"""The command group: lazy subcommands, one way to end."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from kxchange import __version__
from kxchange.errors import KxchangeError, MismatchError, UnsupportedOpError

COMMANDS = {
    "backends": "List the installed converters, their versions, and what each can do.",
    "bench": "Measure latency and throughput on several backends.",
    "check": "List every blocker and warning of a conversion at once; write nothing.",
    "convert": "Convert a model, and prove that the result is the same model.",
    "deploy": "Write a model as Triton, KServe or Ray Serve take it.",
    "diff": "Compare two models: structure, shapes, attributes, weights.",
    "explain": "Explain a warning code, for example KX104.",
    "inspect": "Show what is in a model file.",
    "run": "Run a model on one backend.",
    "serve": "Serve models over REST and gRPC, each proven before it is ready.",
    "sign": "Sign a .kx model with a private key, detached.",
    "validate": "Prove that a model computes the same on every backend.",
    "verify": "Check every byte of a .kx model, and its signature.",
    "view": "Open a model in Netron, in the browser.",
}
"""Subcommand -> its one-line help, so that listing them imports none of them."""
GOOD, NO, BAD = 0, 1, 2
"""Exit codes: good; the answer is no; the request or the file is bad."""


class LazyGroup(click.Group):
    """Subcommands live in `kxchange.cli.<name>`, as `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        if cmd_name not in COMMANDS:
            return None
        return import_module(f"kxchange.cli.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, with a suggestion for a misspelt command."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if any(word in error.format_message() for word in ("Did you mean", "did you mean")):
                raise  # newer releases of click say it themselves
            from kxchange.cli.options import suggestion

            raise click.UsageError(error.format_message() + suggestion(args[0], COMMANDS), ctx) from None


def show_versions(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Print kxchange's version and that of every backend, without importing one."""
    if not wanted:
        return
    import platform

    from kxchange.converter import converters

    lines = [f"kx {__version__}, Python {platform.python_version()}"]
    for name, record in converters().items():
        extra = record.extra or name
        found = ", ".join(f"{module} {version}" for module, version in record.versions().items())
        lines.append(f"{name}: " + (f'not installed (pip install "kxchange[{extra}]")' if record.missing else found))
    click.echo("\n".join(lines))
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=show_versions, help="Show versions."
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def group(ctx: click.Context, debug: bool) -> None:
    """Convert any trained model to any framework, and prove that it is the same model.

    \b
    kx convert net.pt2 net.onnx
    kx validate net.kx --backends all
    kx check net.kx --to onnx
    """
    ctx.ensure_object(dict)["debug"] = debug


def main(args: list[str] | None = None) -> None:
    """Run `kx`; every deliberate error ends in one message and exit code 2, or 1 where the answer is no."""
    arguments = sys.argv[1:] if args is None else args
    try:
        code: Any = group.main(arguments, prog_name="kx", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = BAD
    except (click.Abort, KeyboardInterrupt):
        click.echo("aborted", err=True)
        code = BAD
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it ends
        code = NO
    except KxchangeError as error:
        if "--debug" in arguments:
            raise
        click.echo(f"kx: {error}", err=True)
        code = NO if isinstance(error, (MismatchError, UnsupportedOpError)) else BAD
    except OSError as error:
        if "--debug" in arguments:
            raise
        place = f" {str(error.filename)!r}" if error.filename else ""
        click.echo(f"kx: the system refuses{place}: {error.strerror or error}. kx --debug says where.", err=True)
        code = BAD
    sys.exit(code if isinstance(code, int) else GOOD)
