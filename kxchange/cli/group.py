"""The command group: lazy subcommands, one way to end."""

from __future__ import annotations

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
    "validate": "Prove that a model computes the same on every backend.",
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
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(error.format_message() + hint, ctx) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kx")
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
    except click.ClickException as error:
        error.show()
        code = BAD
    except click.Abort:
        click.echo("aborted", err=True)
        code = BAD
    except KxchangeError as error:
        if "--debug" in arguments:
            raise
        click.echo(f"kx: {error}", err=True)
        code = NO if isinstance(error, (MismatchError, UnsupportedOpError)) else BAD
    sys.exit(code if isinstance(code, int) else GOOD)
