"""Leases of GPUs: locks on files in a folder that is common to all users of the machine.

There is a file for each place on each GPU. Who has locked it (flock) has the place. The lock belongs to an open file
that the supervisor and its job inherit: it outlives the engine, and the kernel frees it with the last of them. What is
written in the file only informs. A file is never removed, as its lock could be that of a file that is gone.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.core.errors import UserError

FOLDER = "RUNNER_GPU_LOCKS"  # in the environment: another folder than the common one
PLACES = ("/run/lock", "/tmp")  # that all users share
NAME = "overnight-gpus"
LARGEST = 4096  # bytes of what is written in a file
CHOICE = "choice"  # the file that is locked while somebody chooses: what was found is true until the lease is taken
BY_MEMORY = 0  # in place of a number of jobs: as many as their memory allows


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a place. Nothing of it is known where another user's file cannot be read.

    `places`: how many jobs may share the GPU with it, BY_MEMORY: all that fit. `need`: what it claims of its memory in
    bytes; None: all of it, where the memory counts.
    """

    user: str = ""
    pid: int | None = None
    batch: str = ""
    job: str = ""
    since: str = ""
    places: int | None = None
    need: int | None = None

    def __str__(self) -> str:
        what = f"batch {self.batch} job {self.job}" if self.batch else "another batch"
        return f"{what} of {self.user}" if self.user else what

    def to_json(self) -> dict[str, Any]:
        return {
            "user": self.user, "pid": self.pid, "batch": self.batch, "job": self.job, "since": self.since,
            "places": self.places, "need": self.need,
        }  # fmt: skip


def path_of(environ: Mapping[str, str]) -> str:
    """Where the folder of the locks is, or would be."""
    return environ.get(FOLDER) or next(
        (f"{place}/{NAME}" for place in PLACES if _is_shared(place)), f"{PLACES[-1]}/{NAME}"
    )


def folder(environ: Mapping[str, str]) -> str:
    """The folder of the locks; it is made if need be. Raises UserError."""
    path = path_of(environ)
    try:
        Path(path).mkdir()
        Path(path).chmod(0o1777)  # whatever the umask is
    except FileExistsError:
        pass
    except OSError as error:
        raise UserError(f"{path}: cannot be made for the locks of GPUs: {error.strerror}; set {FOLDER}") from None
    if not stat.S_ISDIR(os.lstat(path).st_mode) or not os.access(path, os.W_OK | os.X_OK):
        raise UserError(f"{path}: is not a folder that can be written, for the locks of GPUs; set {FOLDER}")
    return path


def take(path: str, uuids: Iterable[str], places: int, about: Holder) -> dict[str, int] | None:
    """Lock one place on each of these GPUs, of `places`: UUID -> open file. All, or none of them: then None.

    They are locked in the same order by everyone, and nobody waits with one in hand: two batches cannot block each
    other. Raises OSError if a file cannot be opened.
    """
    taken: dict[str, int] = {}
    for uuid in sorted(uuids):
        locks = (_lock(_file(path, uuid, place)) for place in range(places))
        descriptor = next((found for found in locks if found is not None), None)
        if descriptor is None:
            release(taken.values())
            return None
        taken[uuid] = descriptor
    content = json.dumps(about.to_json()).encode()
    for descriptor in taken.values():
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, content[:LARGEST], 0)
        except OSError:  # a full disk: it only informs
            pass
    return taken


def release(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@contextmanager
def choosing(path: str) -> Iterator[bool]:
    """Nobody else chooses a GPU meanwhile; False: somebody does so now. Raises OSError if the file cannot be opened."""
    descriptor = _lock(f"{path}/{CHOICE}")
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def holders(path: str, uuid: str) -> list[Holder]:
    """Who has a place on this GPU, without taking one."""
    found = []
    first = _file(path, uuid, 0)
    for name in _numbered(first.removesuffix("0")):
        try:
            descriptor = _open(name)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            found.append(_holder(descriptor))
        finally:
            os.close(descriptor)
    return found


def _is_shared(place: str) -> bool:
    try:
        mode = Path(place).stat().st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) and bool(mode & stat.S_ISVTX) and bool(mode & stat.S_IWOTH)


def _file(path: str, uuid: str, place: int) -> str:
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in uuid)
    return f"{path}/{safe}.{place}"


def _numbered(beginning: str) -> list[str]:
    """The files whose paths are this and a number."""
    folder, _, start = beginning.rpartition("/")
    try:
        names = [entry.name for entry in Path(folder).iterdir()]
    except OSError:
        return []
    numbers = [name.removeprefix(start) for name in names if name.startswith(start)]
    return [f"{beginning}{number}" for number in sorted(filter(str.isdecimal, numbers), key=int)]


def _lock(path: str) -> int | None:
    """The open and locked file; None if somebody else has it."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _open(path: str) -> int:
    """Without O_CREAT first: in a sticky folder the kernel refuses that for the files of others."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            os.fchmod(descriptor, 0o666)  # whatever the umask is: every user locks it
        except FileExistsError:  # somebody was faster
            descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", path)
    return descriptor


def _holder(descriptor: int) -> Holder:
    try:
        record = json.loads(os.pread(descriptor, LARGEST, 0))
        pid, places, need = (_whole(record.get(name)) for name in ("pid", "places", "need"))
        words: Sequence[str] = [str(record[name]) for name in ("user", "batch", "job", "since")]
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return Holder()
    user, batch, job, since = words
    return Holder(user, pid, batch, job, since, places, need)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
