"""Remove and copy folders with all that is below them. No link is followed."""

from __future__ import annotations

import os
import shutil
import stat

from runner.disk.opening import open_file
from runner.disk.place import Place


def remove_whole(place: Place) -> None:
    """Remove a file or a link, or a folder with all that is below it. Raises OSError."""
    with place.parent.opened() as folder:
        if stat.S_ISDIR(os.stat(place.name, dir_fd=folder, follow_symlinks=False).st_mode):
            shutil.rmtree(place.name, dir_fd=folder)
        else:
            os.unlink(place.name, dir_fd=folder)


def copy_whole(source: Place, target: Place) -> None:
    """Copy a file or a link, or a folder with all that is below it, to a name that is free. Raises OSError.

    Pipes and other special files are left out.
    """
    with source.parent.opened() as folder:
        about = os.stat(source.name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(about.st_mode):
            leads_to = os.readlink(source.name, dir_fd=folder)
            with target.parent.opened() as there:
                os.symlink(leads_to, target.name, dir_fd=there)
        elif stat.S_ISREG(about.st_mode):
            _copy_file(open_file(source.name, folder=folder), target, about)
        elif stat.S_ISDIR(about.st_mode):
            target.make()
            for name in source.names_in():
                copy_whole(source / name, target / name)


def _copy_file(descriptor: int, target: Place, about: os.stat_result) -> None:
    with os.fdopen(descriptor, "rb") as file:
        with os.fdopen(target.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as copy:
            shutil.copyfileobj(file, copy)
            os.fchmod(copy.fileno(), stat.S_IMODE(about.st_mode))
        with target.parent.opened() as there:
            os.utime(target.name, ns=(about.st_atime_ns, about.st_mtime_ns), dir_fd=there, follow_symlinks=False)
