"""Writing files so that a crash, a full disk or an interrupt leaves the old file or the new one, never a part.

The bytes go to a temporary file in the same folder; it is flushed to the disk, renamed over the target, and the
folder is flushed. A reader that has the old file mapped keeps it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from kxchange.errors import WriteError
from kxchange.format.limits import STALE_TEMPORARY_SECONDS
from kxchange.format.names import shown_path

_TEMPORARY = re.compile(r"\.kx-[0-9a-f]{16}\.tmp")
_PERMISSION_BITS = 0o777
# File systems answer so when they have no preallocation or no flush of folders: nothing is lost, go on.
_NOT_SUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


@contextmanager
def atomic_writer(
    path: str | os.PathLike[str], *, mode: int | None = None, follow_symlink: bool = False, size: int | None = None
) -> Generator[BinaryIO, None, None]:
    """A binary stream whose content becomes the file when the block ends, at once and durably.

    Args:
        path: The file to create or replace.
        mode: Permission bits; by default those of the file replaced, or 0666 without the umask.
        follow_symlink: Replace what a symbolic link points to, instead of refusing it.
        size: Exact size in bytes, if known: the space is reserved first, so that a full disk shows before the work.

    Yields:
        The stream, seekable, empty.

    Raises:
        WriteError: The file could not be written; the previous one is intact and nothing is left behind.
    """
    temporary: Path | None = None
    try:
        target = resolve_target(path, follow_symlink)
        sweep_stale_temporaries(target.parent)
        temporary = temporary_name(target.parent)
        with create_temporary(temporary, target_mode(target, mode), size) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError):
            raise write_error(path, error) from error
        raise
    flush_folder(target)


def atomic_write_bytes(
    path: str | os.PathLike[str], data: bytes | memoryview, *, mode: int | None = None, follow_symlink: bool = False
) -> None:
    """Write a whole file, at once and durably.

    Args:
        path: The file to create or replace.
        data: Its content.
        mode: Permission bits; by default those of the file replaced, or 0666 without the umask.
        follow_symlink: Replace what a symbolic link points to, instead of refusing it.

    Raises:
        WriteError: The file could not be written; the previous one is intact and nothing is left behind.
    """
    with atomic_writer(path, mode=mode, follow_symlink=follow_symlink, size=len(data)) as stream:
        stream.write(data)


def temporary_name(folder: Path) -> Path:
    """A new name in a folder that `sweep_stale_temporaries` knows."""
    return folder / f".kx-{secrets.token_hex(8)}.tmp"


def move_into_place(fresh: Path, path: str | os.PathLike[str]) -> None:
    """Give a file or folder that is complete its final name, in the same file system, at once and durably.

    Args:
        fresh: What was written, under a temporary name.
        path: The final name; a file there is replaced by a file, a folder by a folder.

    Raises:
        WriteError: Something else stands there, or the rename failed; what stood there is intact.
    """
    try:
        if not fresh.is_dir():
            target = resolve_target(path, follow_symlink=False)
            os.replace(fresh, target)
        else:
            target = Path(os.path.abspath(path))
            _replace_folder(fresh, target)
    except OSError as error:
        raise write_error(path, error) from error
    flush_folder(target)


def _replace_folder(fresh: Path, target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise WriteError(f"Cannot write {shown_path(target)}: a file or link of that name exists.")
    previous = temporary_name(target.parent) if target.exists() else None
    if previous is not None:
        os.rename(target, previous)
    try:
        os.rename(fresh, target)
    except OSError:
        if previous is not None:
            os.rename(previous, target)
        raise
    if previous is not None:
        shutil.rmtree(previous, ignore_errors=True)


def sweep_stale_temporaries(folder: str | os.PathLike[str]) -> None:
    """Delete the temporary files that killed processes left in a folder more than an hour ago."""
    deadline = time.time() - STALE_TEMPORARY_SECONDS
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _TEMPORARY.fullmatch(entry.name):
                continue
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_mtime < deadline:
                    os.unlink(entry.path)


def resolve_target(path: str | os.PathLike[str], follow_symlink: bool) -> Path:
    """The absolute path to rename over; refuses what must not be replaced."""
    if "\0" in os.fspath(path):
        raise WriteError(f"Cannot write {shown_path(path)}: a file name cannot hold a NUL character.")
    # Absolute at once: the block may change the working directory.
    target = Path(os.path.abspath(path))
    if target.is_symlink():
        if not follow_symlink:
            raise WriteError(
                f"Cannot write {shown_path(path)}: it is a symbolic link to {shown_path(os.readlink(target))}. "
                "Write to that file, or allow links to be followed."
            )
        target = Path(os.path.realpath(target))
    if not target.parent.is_dir():
        raise WriteError(f"Cannot write {shown_path(path)}: the folder {shown_path(target.parent)} does not exist.")
    if target.exists():
        if not target.is_file():
            raise WriteError(f"Cannot write {shown_path(path)}: a folder or device of that name exists.")
        # A rename needs no permission on the file it replaces; a read-only file is still meant to stay.
        if not os.access(target, os.W_OK):
            raise WriteError(f"Cannot write {shown_path(path)}: the file is read-only.")
    return target


def target_mode(target: Path, mode: int | None) -> int | None:
    """Permission bits for a target: as asked, else those of the file replaced, else None."""
    if mode is not None:
        return mode & _PERMISSION_BITS
    try:
        return os.stat(target).st_mode & _PERMISSION_BITS
    except FileNotFoundError:
        return None


def create_temporary(temporary: Path, mode: int | None, size: int | None) -> BinaryIO:
    """Create a file that must not exist, with its space reserved; `mode` as in `atomic_writer`."""
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    # Without a mode to copy, the kernel applies the umask; to read it one would have to change it for all threads.
    descriptor = os.open(temporary, flags, 0o666 if mode is None else mode & 0o600)
    try:
        if mode is not None:
            os.chmod(descriptor if os.chmod in os.supports_fd else temporary, mode)
        if size and hasattr(os, "posix_fallocate"):
            _reserve(descriptor, size)
        return os.fdopen(descriptor, "w+b")
    except BaseException:
        os.close(descriptor)
        raise


def _reserve(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise


def flush_folder(target: Path) -> None:
    """Make the rename itself durable."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise WriteError(
                f"{shown_path(target)} is written, but its folder could not be flushed to the disk: {error.strerror}. "
                "It may be lost in a power failure."
            ) from error


def write_error(path: str | os.PathLike[str], error: OSError) -> WriteError:
    """The error for a write that failed and left nothing behind."""
    return WriteError(f"Cannot write {shown_path(path)}: {error.strerror or error}. Nothing was changed.")
