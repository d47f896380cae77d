"""Atomic writes under fault: at every step the old file stays whole and nothing is left behind."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kxchange.errors import WriteError
from kxchange.format.atomic import atomic_write_bytes, atomic_writer

OLD, NEW = b"old content", b"new content, longer than the old"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An existing file."""
    path = tmp_path / "file.bin"
    path.write_bytes(OLD)
    return path


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


def test_a_new_and_an_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    for content in (b"", OLD, NEW, OLD, b""):
        atomic_write_bytes(path, content)
        assert path.read_bytes() == content
    assert names(path) == ["file.bin"]


def test_the_file_appears_only_at_the_end(target: Path) -> None:
    with atomic_writer(target) as stream:
        stream.write(NEW)
        stream.flush()
        assert target.read_bytes() == OLD
        assert len(names(target)) == 2
    assert target.read_bytes() == NEW


def test_the_order_is_write_flush_rename_flush_folder(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"file {os.fstat(descriptor).st_size}")
        fsync(descriptor)

    def record_replace(*args: Any) -> None:
        calls.append("rename")
        replace(*args)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    atomic_write_bytes(target, NEW)
    assert calls == [f"file {len(NEW)}", "rename", "folder"]


ERRORS = [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "Input/output error")]


@pytest.mark.parametrize("error", [*ERRORS, KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("step", ["open", "chmod", "posix_fallocate", "fdopen", "fsync", "replace"])
def test_a_failure_at_any_step_keeps_the_old_file(
    target: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(os, step, failing(error))
        expected = WriteError if isinstance(error, OSError) else type(error)
        with pytest.raises(expected) as caught:
            atomic_write_bytes(target, NEW)
    if isinstance(error, OSError):
        assert str(caught.value) == f"Cannot write {target}: {error.strerror}. Nothing was changed."
    assert target.read_bytes() == OLD
    assert names(target) == ["file.bin"]
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("error", [*ERRORS, KeyboardInterrupt(), ValueError("x"), SystemExit(1), GeneratorExit()])
def test_a_failure_in_the_block_keeps_the_old_file(target: Path, error: BaseException) -> None:
    expected = WriteError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), atomic_writer(target) as stream:
        stream.write(NEW)
        raise error
    assert target.read_bytes() == OLD
    assert names(target) == ["file.bin"]


def test_a_failure_leaves_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_writer(tmp_path / "new.bin") as stream:
        stream.write(NEW)
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_a_full_disk_shows_before_the_work(target: Path, tmp_path: Path) -> None:
    entered = False
    with pytest.raises(WriteError, match="Cannot write"), atomic_writer(target, size=2**60):
        entered = True
    assert not entered
    assert target.read_bytes() == OLD
    assert names(target) == ["file.bin"]


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL])
def test_file_systems_without_reservation_or_folder_flush_work(
    target: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fsync = os.fsync

    def fsync_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "posix_fallocate", failing(OSError(code, os.strerror(code))))
    monkeypatch.setattr(os, "fsync", fsync_files)
    atomic_write_bytes(target, NEW)
    assert target.read_bytes() == NEW


def test_a_folder_that_cannot_be_flushed_is_reported_and_the_file_is_there(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def fsync_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync_files)
    with pytest.raises(WriteError, match="is written, but its folder could not be flushed"):
        atomic_write_bytes(target, NEW)
    assert target.read_bytes() == NEW


@pytest.mark.parametrize("bits", [0o644, 0o600, 0o640, 0o777])
def test_the_mode_of_an_existing_file_is_kept(target: Path, bits: int) -> None:
    target.chmod(bits)
    atomic_write_bytes(target, NEW)
    assert stat.S_IMODE(target.stat().st_mode) == bits


def test_the_mode_of_a_new_file_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        atomic_write_bytes(tmp_path / "new.bin", NEW)
        atomic_write_bytes(tmp_path / "secret.bin", NEW, mode=0o600)
        atomic_write_bytes(tmp_path / "shared.bin", NEW, mode=0o666)
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"new.bin": 0o640, "secret.bin": 0o600, "shared.bin": 0o666}


def test_a_read_only_file_is_kept(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As root every file is writable; the kernel's answer is what a user would get.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(WriteError, match="read-only"):
        atomic_write_bytes(target, NEW)
    assert target.read_bytes() == OLD


def test_a_folder_without_permission(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", failing(PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(WriteError, match="Permission denied"):
        atomic_write_bytes(target, NEW)


def test_links_are_refused_or_followed(target: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    link = tmp_path / "sub" / "link.bin"
    link.symlink_to("../file.bin")
    with pytest.raises(WriteError, match="symbolic link to ../file.bin"):
        atomic_write_bytes(link, NEW)
    assert target.read_bytes() == OLD
    atomic_write_bytes(link, NEW, follow_symlink=True)
    assert target.read_bytes() == NEW
    assert link.is_symlink()
    dangling = tmp_path / "dangling.bin"
    dangling.symlink_to("nowhere.bin")
    with pytest.raises(WriteError, match="symbolic link"):
        atomic_write_bytes(dangling, NEW)


def test_a_hard_link_keeps_its_content(target: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    os.link(target, other)
    atomic_write_bytes(target, NEW)
    assert (target.read_bytes(), other.read_bytes()) == (NEW, OLD)


def test_targets_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, message in [
        ("folder", "a folder or device"),
        ("pipe", "a folder or device"),
        ("none/file", "does not exist"),
        ("x" * 300, "too long"),
        ("a\0b", "NUL"),
    ]:
        with pytest.raises(WriteError, match=message):
            atomic_write_bytes(tmp_path / name, NEW)
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


def test_the_longest_file_name_works(tmp_path: Path) -> None:
    atomic_write_bytes(tmp_path / ("x" * 255), NEW)
    assert (tmp_path / ("x" * 255)).read_bytes() == NEW


def test_a_relative_path_means_the_folder_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    with atomic_writer("file.bin") as stream:
        os.chdir("sub")
        stream.write(NEW)
    assert (tmp_path / "file.bin").read_bytes() == NEW


def test_only_our_own_old_temporaries_are_swept(target: Path) -> None:
    old = time.time() - 4000
    kept = [".kx-0123456789abcdef.tmp", ".kx-0123.tmp", "kx-0123456789abcdef.tmp", ".kx-0123456789abcdeg.tmp"]
    swept = target.parent / ".kx-fedcba9876543210.tmp"
    for name in kept:
        (target.parent / name).write_bytes(b"x")
        if name != kept[0]:  # the first has our pattern and is young
            os.utime(target.parent / name, (old, old))
    swept.write_bytes(b"x")
    os.utime(swept, (old, old))
    folder = target.parent / ".kx-aaaaaaaaaaaaaaaa.tmp"
    folder.mkdir()
    os.utime(folder, (old, old))
    atomic_write_bytes(target, NEW)
    assert names(target) == sorted([*kept, folder.name, "file.bin"])


KILLED = """
    import os, signal, sys
    from kxchange.format import atomic

    step = sys.argv[1]
    original = getattr(os, step)
    def die(*args):
        if sys.argv[2] == "after":
            original(*args)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(os, step, die)
    atomic.atomic_write_bytes(sys.argv[3], sys.argv[4].encode())
"""


@pytest.mark.parametrize(
    ("step", "when", "content"),
    [("fsync", "before", OLD), ("replace", "before", OLD), ("replace", "after", NEW)],
)
def test_a_killed_process_leaves_one_whole_file(target: Path, step: str, when: str, content: bytes) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), step, when, str(target), NEW.decode()]
    killed = subprocess.run(command, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert target.read_bytes() == content
    left = [path for path in target.parent.iterdir() if path != target]
    assert len(left) == (content == OLD)
    for path in left:
        os.utime(path, (0, 0))
    atomic_write_bytes(target, NEW)
    assert names(target) == ["file.bin"]
