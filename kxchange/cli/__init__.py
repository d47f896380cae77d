"""The `kx` command: each subcommand is imported when it is used, so that `kx --help` is instant."""

from __future__ import annotations

from kxchange.cli.group import main

__all__ = ["main"]
