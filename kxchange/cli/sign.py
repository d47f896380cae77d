"""`kx sign`."""

from __future__ import annotations

import click

from kxchange.cli.options import output_options, show


@click.command("sign")
@click.argument("model")
@click.option("--private-key", required=True, metavar="PEM", help="An elliptic-curve key.")
@click.option("--password", envvar="KXCHANGE_KEY_PASSWORD", help="Of the key; better in KXCHANGE_KEY_PASSWORD.")
@click.option("--signature", metavar="PATH", help="Where to write it; MODEL.sig where not given.")
@output_options
def command(
    model: str, private_key: str, password: str | None, signature: str | None, as_json: bool, quiet: bool
) -> None:
    """Sign MODEL, a .kx file or index, with a private key. The signature lies beside it.

    \b
    openssl ecparam -name prime256v1 -genkey -noout -out key.pem
    openssl ec -in key.pem -pubout -out public.pem
    kx sign net.kx --private-key key.pem
    """
    from kxchange.signing import sign

    target = sign(model, private_key, password=password, signature=signature)
    show(as_json, quiet, {"model": model, "signature": str(target)}, f"signed {model}: {target}")
