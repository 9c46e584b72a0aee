"""Open a regular file, whatever a job has put under its name. Standard library only; every supervisor imports it."""

from __future__ import annotations

import errno
import os
import stat

_KINDS = (
    (stat.S_ISLNK, errno.ELOOP, "is a link"),
    (stat.S_ISDIR, errno.EISDIR, "is a folder"),
    (stat.S_ISFIFO, errno.EINVAL, "is a pipe"),
    (stat.S_ISSOCK, errno.EINVAL, "is a socket"),
)


def open_file(
    path: str, flags: int = os.O_RDONLY, mode: int = 0o666, *, folder: int | None = None, links: bool = False
) -> int:
    """The descriptor of a regular file; `path` may be relative to the open `folder`. Raises OSError for all else.

    A pipe would block us for ever, a device does not end, and the other side of either may notice that it was opened:
    so what is there is looked at first, and again once it is open. A link is followed only if `links`.
    """
    flags |= os.O_CLOEXEC | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW)
    try:
        _refuse(os.stat(path, dir_fd=folder, follow_symlinks=links).st_mode, path)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    descriptor = os.open(path, flags, mode, dir_fd=folder)
    try:
        _refuse(os.fstat(descriptor).st_mode, path)
        if flags & (os.O_WRONLY | os.O_RDWR):  # of a regular file it means nothing, but it may become our output
            os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _refuse(mode: int, path: str) -> None:
    if not stat.S_ISREG(mode):
        number, what = next(((n, text) for is_kind, n, text in _KINDS if is_kind(mode)), (errno.EINVAL, "is a device"))
        raise OSError(number, f"{what} and not a regular file", path)
