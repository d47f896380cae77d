"""The saved folder: what stands in it, and how it is recognised."""

from __future__ import annotations

from pathlib import Path

PARAMETERS = "params.safetensors"
MANIFEST = "model.json"
NOTES = "README.md"
SUFFIX = ".stablehlo"
"""Of the files with one exported function each."""
FORMAT = "kxchange-jax-export"
BYTECODE, PRODUCER = b"ML\xefR", b"StableHLO_v"
"""Both stand near the beginning of an artifact: its module comes first."""

TEXT = """# {title}

Exported functions of JAX {version} with symbolic sizes, for {platforms}, and their parameters.
Nothing but JAX is needed:

```python
import jax
from safetensors.numpy import load_file

params = load_file("{parameters}")
apply = jax.export.deserialize(open("{file}", "rb").read()).call
outputs = apply(params, {inputs})  # dicts of arrays by name
```
{wide}
| function | file | inputs | outputs |
|---|---|---|---|
{rows}
"""
WIDE = """
Some types are 64 bits wide: call it inside `with jax.enable_x64(True):`.
"""


def sniff(path: Path, head: bytes) -> str | None:
    """What kind of file or folder this is, if `load` reads it."""
    if path.is_dir():
        return "jax export folder" if is_ours(path) else None
    return "jax export artifact" if BYTECODE in head and PRODUCER in head else None


def is_ours(path: Path) -> bool:
    """Whether a folder is one that `save` wrote."""
    return (path / PARAMETERS).is_file() and (path / MANIFEST).is_file() and any(path.glob(f"*{SUFFIX}"))
