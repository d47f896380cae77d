"""Detached signatures of `.kx` models, made and checked by the OpenSSF `model-signing` package; no own cryptography.

A signature covers every byte of a single file. Of a sharded model it covers the index, which names the SHA-256 of each
shard's header and, through the model id, of every tensor; those are then hashed anew when it is checked.
"""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kxchange.errors import FormatError, InputError, MissingBackendError, SignatureError
from kxchange.format.atomic import atomic_writer

SUFFIX = ".sig"


def signature_path(path: str | os.PathLike[str]) -> Path:
    """Where the signature of a model lies unless another place is named: beside it, with `.sig` added."""
    return Path(f"{os.fspath(path)}{SUFFIX}")


def sign(
    path: str | os.PathLike[str],
    private_key: str | os.PathLike[str],
    *,
    password: str | None = None,
    signature: str | os.PathLike[str] | None = None,
) -> Path:
    """Sign a `.kx` file or index.

    Args:
        path: The model. Every byte of it is checked before it is signed.
        private_key: PEM file of an elliptic-curve key, for example from `openssl ecparam -genkey`.
        password: Of the key, where it has one.
        signature: Where to write; `path` with `.sig` added where not given.

    Returns:
        The path of the signature: a Sigstore bundle, which the `model_signing` command reads too.

    Raises:
        MissingBackendError: The extra `sign` is not installed.
        FormatError: The model is damaged, or no `.kx`.
        InputError: The key cannot be used.
        WriteError: The signature cannot be written.
    """
    model_signing = _package()
    _prove_whole(path)
    target = Path(signature) if signature is not None else signature_path(path)
    try:
        config = model_signing.signing.Config().use_elliptic_key_signer(
            private_key=_key(private_key), password=password
        )
    except (ValueError, TypeError) as error:
        raise InputError(f"cannot sign with {os.fspath(private_key)}: {_first_line(error)}.") from error
    with tempfile.TemporaryDirectory(prefix="kx-sign-") as folder, atomic_writer(target) as stream:
        made = Path(folder) / target.name
        config.sign(path, made)
        stream.write(made.read_bytes())
    return target


def check_signature(
    path: str | os.PathLike[str],
    public_key: str | os.PathLike[str],
    *,
    signature: str | os.PathLike[str] | None = None,
) -> str:
    """Require that a `.kx` model is the one that was signed.

    Args:
        path: The model; every byte of it is hashed.
        public_key: PEM file of the signer's public key.
        signature: `path` with `.sig` added where not given.

    Returns:
        The model id.

    Raises:
        SignatureError: There is no signature, it is damaged, by another key, or of another model.
        MissingBackendError: The extra `sign` is not installed.
        FormatError: The model is damaged, or no `.kx`.
        InputError: The key cannot be used.
    """
    model_signing = _package()
    source = Path(signature) if signature is not None else signature_path(path)
    if not source.is_file():
        raise SignatureError(f"{os.fspath(path)} is not signed: there is no {source}.")
    try:
        config = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=_key(public_key))
    except (ValueError, TypeError) as error:
        raise InputError(f"cannot check a signature with {os.fspath(public_key)}: {_first_line(error)}.") from error
    model_id = _prove_whole(path)
    try:
        config.verify(path, source)
    except Exception as error:  # the package lets whatever a malformed bundle causes through
        reason = _first_line(error)
        raise SignatureError(f"{source} does not prove {os.fspath(path)}: {reason}. Do not use the model.") from error
    return model_id


def _package() -> Any:
    missing = [name for name, module in _NEEDS.items() if find_spec(module) is None]
    if missing:
        raise MissingBackendError(
            f'signing needs {", ".join(missing)}, which is not installed. Run: pip install "kxchange[sign]".'
        )
    import model_signing

    return model_signing


_NEEDS = {"model-signing": "model_signing", "pyopenssl": "OpenSSL"}


def _prove_whole(path: str | os.PathLike[str]) -> str:
    from kxchange.format.model_file import identify, is_kx

    if not Path(path).exists():
        raise InputError(f"there is no file {os.fspath(path)!r}.")
    if not is_kx(Path(path)):
        raise FormatError(f"{os.fspath(path)} is no .kx model; only those are signed. Convert it first.")
    return identify(path, verify=True)


def _key(path: str | os.PathLike[str]) -> Path:
    if not Path(path).is_file():
        raise InputError(f"there is no key {os.fspath(path)!r}.")
    return Path(path)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    # Digests in full help nobody, and text of a bundle does not reach a terminal as it is.
    return ascii(f"{type(error).__name__}: {lines[0] if lines else 'malformed'}"[:160])[1:-1].rstrip(".")
