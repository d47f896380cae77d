"""`kx verify`."""

from __future__ import annotations

import click

from kxchange.cli.options import output_options, show


@click.command("verify")
@click.argument("model")
@click.option("--public-key", metavar="PEM", help="The signer's key; without it only the hashes are checked.")
@click.option("--signature", metavar="PATH", help="MODEL.sig where not given.")
@output_options
def command(model: str, public_key: str | None, signature: str | None, as_json: bool, quiet: bool) -> None:
    """Hash every byte of MODEL, a .kx file or index; with a key, check who signed it.

    \b
    kx verify net.kx
    kx verify net.kx --public-key public.pem
    """
    from kxchange.errors import InputError
    from kxchange.format.model_file import identify
    from kxchange.signing import check_signature

    if signature and not public_key:
        raise InputError("a signature proves nothing without the key it was made with: add --public-key.")
    if public_key:
        model_id, proven = check_signature(model, public_key, signature=signature), "signature and every byte"
    else:
        model_id, proven = identify(model, verify=True), "every byte"
    data = {"model": model, "model_id": model_id, "signed": public_key is not None}
    show(as_json, quiet, data, f"{model}: {proven} as it should be, model {model_id}")
