"""`kx explain`."""

from __future__ import annotations

import click

from kxchange.cli.options import output_options, show


@click.command("explain")
@click.argument("code", required=False)
@output_options
def command(code: str | None, as_json: bool, quiet: bool) -> None:
    """Explain a warning CODE, for example KX104; without one, list them all.

    \b
    kx explain KX104
    kx explain
    """
    import difflib

    from kxchange.errors import InputError
    from kxchange.traps import TRAPS

    if code is None:
        lines = [f"{trap.code} {trap.name}: {trap.summary}" for trap in TRAPS.values()]
        show(as_json, quiet, {"warnings": [trap.to_json() for trap in TRAPS.values()]}, "\n".join(lines))
        return
    if code.upper() not in TRAPS:
        near = difflib.get_close_matches(code.upper(), TRAPS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InputError(f"there is no warning {code!r}; kx explain lists them.{hint}")
    trap = TRAPS[code.upper()]
    show(as_json, quiet, trap.to_json(), f"{trap.code} {trap.name}\n\n{trap.summary}\n\n{trap.detail}")
