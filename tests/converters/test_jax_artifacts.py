"""Artifacts are parsed in a process of their own: its end is a refusal, and the next artifact gets another."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("jax")

from kxchange.errors import FormatError  # noqa: E402
from kxchange_jax import artifact_parser  # noqa: E402

pytestmark = pytest.mark.jax
CHILD = """
import os, signal, sys
while len(head := sys.stdin.buffer.read(8)) == 8:
    data = sys.stdin.buffer.read(int.from_bytes(head, "little"))
    if data == b"crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if data == b"half":
        sys.stdout.buffer.write((9).to_bytes(8, "little") + b"only")
        sys.exit()
    mark = 1 << 63 if data == b"refuse" else 0
    sys.stdout.buffer.write((mark | len(data)).to_bytes(8, "little") + data)
    sys.stdout.flush()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_end_of_the_child_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    monkeypatch.setattr(artifact_parser, "CHILD", tmp_path / "child.py")
    with artifact_parser.one_child():
        assert artifact_parser.program_text(b"text") == "text"
        for data, words in ((b"crash", "ends jaxlib.*-9"), (b"half", "ends jaxlib"), (b"refuse", r"\(refuse\)")):
            with pytest.raises(FormatError, match=words):
                artifact_parser.program_text(data)
            assert artifact_parser.program_text(b"again") == "again"
    with pytest.raises(FormatError, match="ends jaxlib"):
        artifact_parser.program_text(b"crash")


def test_the_child_sees_no_more_of_the_environment_than_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (
        'import os, sys; t = ",".join(os.environ).encode(); sys.stdout.buffer.write(len(t).to_bytes(8, "little") + t)'
    )
    (tmp_path / "child.py").write_text(body)
    monkeypatch.setattr(artifact_parser, "CHILD", tmp_path / "child.py")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    assert "SECRET_TOKEN" not in artifact_parser.program_text(b"")
