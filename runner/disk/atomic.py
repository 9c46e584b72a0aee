"""Write a file so that a crash leaves the old one or the new one. Imports nothing heavy: every supervisor uses it."""

from __future__ import annotations

import json
import os

from runner.core.fields import DEEPEST, is_too_deep
from runner.disk.place import Place

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


WORDS = 4096  # of a record that are joined at once
TOO_DEEP = "(nested too deeply)"


def write_bytes(path: str | os.PathLike[str], content: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `content`, durably: temporary file in the same folder, fsync, rename, fsync of the folder.

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


def _write_in(folder: int, name: str, content: bytes, *, durable: bool) -> None:
    temporary = f".{name[:200]}.{os.getpid()}.tmp"
    descriptor = _new_file(folder, temporary)
    try:
        try:
            write_all(descriptor, content)
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
    write_bytes(path, json_bytes(record), durable=durable)


def json_bytes(record: Any) -> bytes:
    """What `write_json` writes."""
    return _text(record).encode(errors="backslashreplace") + b"\n"


def as_json(record: Any) -> str:
    """JSON that every reader accepts: NaN and infinities, which it does not have, become null.

    A byte of a file name that is not UTF-8 becomes an escape such as \\udce9, from which Python reads the name again.
    What is nested more deeply than `runner.core.fields` reads becomes a text that says so.
    """
    return _text(record).encode(errors="backslashreplace").decode()


def _text(record: Any) -> str:
    try:
        text = "" if is_too_deep(record) else _dumped(record)
    except ValueError:
        text = ""
    return text or _dumped(_readable(record, DEEPEST))


def _dumped(record: Any) -> str:
    """As json.dumps, which keeps a list of all the words until the end: more memory than the text."""
    encoder = json.JSONEncoder(indent=2, ensure_ascii=False, default=str, allow_nan=False)
    blocks, words = [], []
    for word in encoder.iterencode(record):
        words.append(word)
        if len(words) == WORDS:
            blocks.append("".join(words))
            words.clear()
    return "".join([*blocks, *words])


def _readable(value: Any, levels: int) -> Any:
    """The value with null for what JSON does not have, and at most so many levels."""
    if isinstance(value, (dict, list, tuple)) and not levels:
        return TOO_DEEP
    if isinstance(value, dict):
        return {key: _readable(item, levels - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(item, levels - 1) for item in value]
    return None if isinstance(value, float) and (value != value or abs(value) == float("inf")) else value


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
