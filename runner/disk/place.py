"""Files and folders below a root, which are reached without following a link. Standard library only.

The root of a batch and what is above it are the user's, and may be links. Below it a job may have planted one at any
name. So each folder is opened by its name in the open folder above it, and what is written, moved or removed is named
in an open folder: nothing outside of the root is ever changed. Every supervisor imports this.
"""

from __future__ import annotations

import errno
import os
import stat

from runner.disk.opening import open_file

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Final

    from runner.core.job import Job

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Place(os.PathLike[str]):
    """The file or folder with these names, one below the other, in `root`. All that it does may raise OSError."""

    __slots__ = ("names", "root")

    def __init__(self, root: str | os.PathLike[str], *names: str) -> None:
        if any(name in ("", ".", "..") or "/" in name for name in names):
            raise OSError(errno.EINVAL, "leads out of its folder", os.path.join(root, *names))
        self.root: Final = os.fspath(root)
        self.names: Final = names

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Place:
        """The place itself; of any other path the file in its folder, which counts as the root."""
        if isinstance(path, Place):
            return path
        folder, name = os.path.split(os.fspath(path))
        return cls(folder or ".", name)

    @classmethod
    def of_job(cls, job: Job) -> Place:
        """The folder of a job, below that of its batch."""
        names = job.name.split("/")
        whole = job.out_dir.parts[-len(names) :] == tuple(names)
        names = names if whole else [job.out_dir.name]
        return cls(job.out_dir.parents[len(names) - 1], *names)

    def __truediv__(self, below: str) -> Place:
        return Place(self.root, *self.names, *below.split("/"))

    def __fspath__(self) -> str:
        return os.path.join(self.root, *self.names)

    __str__ = __fspath__

    @property
    def name(self) -> str:
        return self.names[-1]

    @property
    def parent(self) -> Place:
        return Place(self.root, *self.names[:-1])

    def opened(self, *, make: bool = False) -> Opened:
        """The descriptor of this folder, for a `with`. `make`: folders that do not exist are made."""
        if make:
            os.makedirs(self.root, exist_ok=True)
        descriptor = os.open(self.root, _FOLDER)
        for depth, name in enumerate(self.names):
            with Opened(descriptor, os.path.join(self.root, *self.names[:depth])):
                descriptor = _enter(descriptor, name, make=make)
        return Opened(descriptor, os.fspath(self))

    def make(self) -> None:
        """Make this folder and those above it, up to the root; existing ones are kept."""
        with self.opened(make=True):
            pass

    def open(self, flags: int, mode: int = 0o666) -> int:
        """The descriptor of this file, which is a regular one."""
        with self.parent.opened() as folder:
            return open_file(self.name, flags, mode, folder=folder)

    def names_in(self) -> list[str]:
        """The names in this folder."""
        with self.opened() as folder:
            return os.listdir(folder)

    def is_folder(self) -> bool:
        """Whether it is a folder, and neither a link to one nor below such a link."""
        try:
            with self.opened():
                return True
        except OSError:
            return False

    def remove(self) -> bool:
        """Remove this file or link; False if it does not exist."""
        try:
            with self.parent.opened() as folder:
                os.unlink(self.name, dir_fd=folder)
        except FileNotFoundError:
            return False
        return True

    def move_into(self, target: Place, names: Iterable[str]) -> None:
        """Move what has these names in this folder into another one, which is made, and sync both."""
        with target.opened(make=True) as there, self.opened() as here:
            for name in names:
                os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
            os.fsync(there)  # first: after a loss of power a file may be in both folders, and never in neither
            os.fsync(here)

    def move(self, target: Place) -> None:
        """Give it another name, in a folder that exists."""
        with target.parent.opened() as there, self.parent.opened() as here:
            os.rename(self.name, target.name, src_dir_fd=here, dst_dir_fd=there)


class Opened:
    """An open folder, for a `with`; contextlib takes a supervisor too long to import.

    An OSError gets the whole path: the system knows only the name in the open folder.
    """

    __slots__ = ("_descriptor", "_path")

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        if isinstance(error, OSError):
            name = error.filename if isinstance(error.filename, str) else ""
            error.filename = os.path.join(self._path, name) if name else self._path


def _enter(above: int, name: str, *, make: bool) -> int:
    """The descriptor of a folder in an open one."""
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        is_link = stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
        raise OSError(error.errno, f"is {'a link' if is_link else 'not a folder'}", name) from None
    try:
        os.mkdir(name, dir_fd=above)
    except FileExistsError:  # another process has made it
        pass
    return _enter(above, name, make=False)
