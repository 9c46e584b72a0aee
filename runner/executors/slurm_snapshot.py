"""Copy the code of the user's project into the batch, so that what waits in the queue runs it as it was submitted.

The copy has what git knows: tracked files, and those that are neither tracked nor ignored. Everything else (data, a
virtual environment, outputs) is a link to where it is.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from runner.disk import atomic
from runner.disk.place import Place
from runner.disk.reading import read_bytes
from runner.executors.git_state import ask, checkout_of
from runner.slurm import submissions

LARGEST = 64 << 20  # bytes
CODE = "code"


def taken(root: Path, cwd: Path) -> tuple[Path, Path] | None:
    """The project around `cwd` and its copy in the batch; None if git does not know one, or if it is too large."""
    project = checkout_of(cwd)
    if project is None:
        return None
    files = _files(project, root)
    if not files or sum(found.st_size for found in files.values()) > LARGEST:
        return None
    signs = "\n".join(f"{name} {found.st_size} {found.st_mtime_ns}" for name, found in files.items())
    name = hashlib.sha256(f"{project}\n{signs}".encode(errors="surrogateescape")).hexdigest()[:12]
    place = submissions.folder(root) / CODE / name
    if not place.is_folder():
        _copy(project, files, place, root)
    return project, Path(place)


def _files(project: Path, root: Path) -> dict[str, os.stat_result]:
    """What git knows of the project, but for the batches."""
    listed = ask(["git", "-C", str(project), "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    found = {}
    for name in sorted(filter(None, (listed or "").split("\0"))):
        path = project / name
        if path.is_relative_to(root.parent):
            continue
        try:
            about = path.lstat()
        except OSError:  # deleted, and not committed
            continue
        if stat.S_ISREG(about.st_mode):
            found[name] = about
    return found


def _copy(project: Path, files: Mapping[str, os.stat_result], place: Place, root: Path) -> None:
    """Copy into a folder that gets its name when it is complete."""
    partial = place.parent / f".{place.name}.{os.getpid()}"
    partial.make()
    for name, about in files.items():
        target = partial / name
        target.parent.make()
        atomic.write_bytes(target, read_bytes(project / name, LARGEST), durable=False)
        Path(target).chmod(stat.S_IMODE(about.st_mode))
    folders = {"", *(str(parent) for name in files for parent in Path(name).parents if str(parent) != ".")}
    for folder in folders:
        for entry in (project / folder).iterdir():
            copy = Path(partial) / folder / entry.name
            if entry.name != ".git" and not root.is_relative_to(entry) and not os.path.lexists(copy):
                copy.symlink_to(entry)
    partial.move(place)
