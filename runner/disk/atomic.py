"""Write a file so that a crash leaves the old one or the new one. Imports nothing heavy: every supervisor uses it."""

from __future__ import annotations

import os

from runner.disk import json_text
from runner.disk.place import Place

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


def write_bytes(path: str | os.PathLike[str], content: bytes | Iterable[bytes], *, durable: bool = True) -> None:
    """Replace `path` by `content`, durably: temporary file in the same folder, fsync, rename, fsync of the folder.

    What is too long to be made at once comes in blocks.

    Raises OSError; the old file, if there was one, is then unchanged. No folder of a Place is reached through a link.
    Not `durable`: complete for every reader, but it may be gone after a loss of power, as are the processes that it
    describes.
    """
    place = Place.of(path)
    with place.parent.opened() as folder:
        try:
            _write_in(folder, place.name, content, durable=durable)
            if durable:
                os.fsync(folder)
        except OSError as error:  # the system knows the name in the open folder only
            raise OSError(error.errno, error.strerror, os.fspath(place)) from None


def _write_in(folder: int, name: str, content: bytes | Iterable[bytes], *, durable: bool) -> None:
    temporary = f".{name[:200]}.{os.getpid()}.tmp"
    descriptor = _new_file(folder, temporary)
    try:
        try:
            for block in (content,) if isinstance(content, bytes) else content:
                write_all(descriptor, block)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise


def create(path: str | os.PathLike[str], content: bytes) -> bool:
    """Make a file that did not exist, complete from its first moment; False if there is one. Raises OSError.

    By link(2), which one process alone can win, also over NFS: there its answer may be lost, so the links are counted.
    """
    place = Place.of(path)
    with place.parent.opened() as folder:
        temporary = f".{place.name[:200]}.{os.uname().nodename}.{os.getpid()}.tmp"
        descriptor = _new_file(folder, temporary)
        try:
            write_all(descriptor, content)
            try:
                os.link(temporary, place.name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                if os.fstat(descriptor).st_nlink == 2:
                    return True
                if os.access(place.name, os.F_OK, dir_fd=folder):
                    return False
                raise
            return True
        finally:
            os.close(descriptor)
            os.unlink(temporary, dir_fd=folder)


def write_files(folder: str | os.PathLike[str], contents: Mapping[str, bytes]) -> None:
    """Replace several files of one folder, durably and in this order, with one sync of the folder. Raises OSError.

    After a crash those that come first may be new, and those that come later old.
    """
    place = Place.of(folder)
    with place.opened() as opened:
        try:
            for name, content in contents.items():
                _write_in(opened, name, content, durable=True)
            os.fsync(opened)
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(place)) from None


def _new_file(folder: int, name: str) -> int:
    # O_EXCL and O_NOFOLLOW: a symlink planted under the temporary name is refused, not followed.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, 0o666, dir_fd=folder)
    except FileExistsError:  # left by a crashed process that had our pid
        os.unlink(name, dir_fd=folder)
        return os.open(name, flags, 0o666, dir_fd=folder)


def write_json(path: str | os.PathLike[str], record: Mapping[str, Any], *, durable: bool = True) -> None:
    """Replace `path` by `record` as JSON. Values that JSON does not have are written as their str()."""
    write_bytes(path, json_text.blocks(record), durable=durable)


def json_bytes(record: Any) -> bytes:
    """What `write_json` writes."""
    return b"".join(json_text.blocks(record))


def as_json(record: Any) -> str:
    """The same as text, without the line end."""
    return json_text.text(record).encode(errors="backslashreplace").decode()


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte; os.write alone may stop short, for example when a disk fills."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def remove_partial(folder: Place) -> None:
    """Remove the temporary files that a crash left in a folder, if it exists. Raises OSError.

    A folder of such a name is not ours, and what cannot be removed is in nobody's way.
    """
    try:
        names = folder.names_in()
    except FileNotFoundError:
        return
    for name in names:
        if _is_temporary(name):
            try:
                (folder / name).remove()
            except OSError:
                continue


def _is_temporary(name: str) -> bool:
    """Whether it is a name that `_write_in` gives: `.NAME.PID.tmp`. A job may have other files that end so."""
    parts = name.split(".")
    return len(parts) > 3 and parts[0] == "" and parts[-1] == "tmp" and parts[-2].isdecimal()


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make a rename in `folder` survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def end_torn_line(path: str | os.PathLike[str]) -> None:
    """End the last line of a growing file where a crash cut it short, so that the next one begins on its own."""
    try:
        descriptor = Place.of(path).open(os.O_RDWR)
    except OSError:  # there is none yet, or it cannot be written, which the next write will report
        return
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.pwrite(descriptor, b"\n", size)
    except OSError:
        pass
    finally:
        os.close(descriptor)
