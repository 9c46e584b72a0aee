"""One runner per batch folder: a lock that the kernel releases when its holder ends, however it ends.

The holder writes who it is into the file, and empties it when it releases the lock. Over a shared disk the kernel need
not see the locks of other hosts: there, the written record counts, and the signs of life of its holder.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from runner.core import clock
from runner.core.fields import Fields, parsed
from runner.disk import heartbeat, lock_holders, record_file
from runner.disk.opening import open_file
from runner.disk.place import Place
from runner.processes import process_id

GLANCE = 0.2  # seconds; a process that only checks whether it is held has it for microseconds
WIDTH = 512  # bytes of a record: one is written over another at once, and never seen in part
PATIENT = 2.0  # seconds until a holder without a record is believed not to be a runner, by those who can wait


class Held(Exception):
    """Another process runs this batch; `holder` is what it wrote about itself."""

    def __init__(self, holder: dict[str, Any], path: str) -> None:
        self.holder = holder
        self.stranger: str | None = holder.get("stranger")  # a process that is not a runner
        if self.stranger:
            super().__init__(f"{self.stranger}, which is not a runner; end it to continue")
            return
        who = f"pid {holder.get('pid', '?')} on {holder.get('host', '?')} since {holder.get('since', '?')}"
        super().__init__(who + (_hint(holder, path) if _is_of_other_host(holder) else ""))


class Lock:
    """Held from its creation to `release`; a process that is forked meanwhile holds it too. Raises Held or OSError.

    `patience` is the number of seconds for which it is tried.
    """

    def __init__(self, path: str | Place, patience: float = GLANCE) -> None:
        self._place = Place.of(path)
        self._path = os.fspath(self._place)
        self._descriptor = self._opened()
        self._next_sign = 0.0
        self._gives_signs = False
        self._mark: Place | None = None  # while the record of a dead holder is replaced
        deadline = time.monotonic() + patience
        while not self._take():
            if time.monotonic() >= deadline and (held := _holding(self._path, GLANCE, fcntl.LOCK_EX)) is not None:
                os.close(self._descriptor)
                raise Held(held, self._path) from None
            time.sleep(0.01)
        self._mine = True
        self.record_holder()
        if self._mark is not None:
            self._mark.remove()

    def _opened(self) -> int:
        return self._place.open(os.O_RDWR | os.O_CREAT, 0o644)

    def _take(self) -> bool:
        """True once no other process holds the lock, here or on another host."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if not self._is_current():  # removed before it was locked: others would lock the next file of this name
            os.close(self._descriptor)
            self._descriptor = self._opened()
            return False
        if not os.fstat(self._descriptor).st_size or not self._is_elsewhere():
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def _is_elsewhere(self) -> bool:
        """Whether a runner on another host has the batch, or is about to take it over from one that died."""
        found = _read(self._path)
        if not _is_of_other_host(found):
            return False
        if not heartbeat.is_over(found, self._place):
            return True
        self._mark = heartbeat.take_over(self._place, found)
        if self._mark is not None and _read(self._path) != found:  # another host was faster
            self._mark.remove()
            self._mark = None
        return self._mark is None

    def _is_current(self) -> bool:
        """Whether the file of this name is the one that is open."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._descriptor))

    def keep(self) -> None:
        """Take the lock again if its file was removed or replaced. Raises Held if another process has it now."""
        if self._is_current():
            return
        try:
            again = Lock(self._place)
        except OSError:  # the folder is gone, or was moved: nobody can take the lock here
            return
        os.close(self._descriptor)
        self._descriptor = again._descriptor
        self._next_sign = 0.0

    def renew(self) -> None:
        """Give other hosts a sign of life, now and then. After the first one they wait for the next ones.

        Raises Held if another host has taken the batch over, as this process was suspended for too long.
        """
        if heartbeat.moment() < self._next_sign:
            return
        self._next_sign = heartbeat.moment() + heartbeat.EVERY
        found = self._written()
        if _is_of_other_host(found):
            raise Held(found, self._path)
        self._gives_signs = True
        with contextlib.suppress(OSError):  # a full disk, or one that is gone: the next time
            if heartbeat.KEY in found:
                os.utime(self._descriptor)
            else:
                self.record_holder()

    def rest(self) -> None:
        """No further sign of life is given; the lock is held all the same."""
        if self._gives_signs and not _is_of_other_host(self._written()):
            self._gives_signs, self._next_sign = False, 0.0
            with contextlib.suppress(OSError):
                self.record_holder()

    def _written(self) -> dict[str, Any]:
        """The record in the file that is open: over NFS a lock may be lost when another descriptor is closed."""
        try:
            return parsed(os.pread(self._descriptor, WIDTH * 8, 0))
        except (OSError, ValueError):
            return {}

    def record_holder(self) -> None:
        """Write who holds it: this process. Again after a fork."""
        who = {
            "pid": os.getpid(),
            "host": process_id.host(),
            "pid_namespace": process_id.namespace(),
            "since": clock.now(),
            "identity": process_id.own(),
            **({heartbeat.KEY: heartbeat.EVERY} if self._gives_signs else {}),
        }
        content = json.dumps(who).encode().ljust(WIDTH - 1) + b"\n"
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    def hand_over(self) -> None:
        """Another process, forked from this one, holds it from now on and records itself."""
        self._mine = False

    def release(self) -> None:
        if self._mine and not _is_of_other_host(self._written()):
            with contextlib.suppress(OSError):  # the disk is gone, and the record with it
                os.ftruncate(self._descriptor, 0)  # a record that stays is that of a holder that was killed
        os.close(self._descriptor)

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder(path: str, patience: float = GLANCE) -> dict[str, Any] | None:
    """Who holds the lock now; None if it is free. A record of another host counts, unless its signs of life ended.

    A process that is not the one of the record is described under `stranger`, after `patience`.
    """
    if not _is_free(path):
        return _holding(path, patience)
    found = _read(path)
    return found if _is_of_other_host(found) and not heartbeat.is_over(found, Place.of(path)) else None


def runner(path: str) -> dict[str, Any] | None:
    """The runner that holds the lock now; None if it is free, or another program holds it."""
    found = holder(path, PATIENT)
    return None if found is None or "stranger" in found else found


def _is_free(path: str, how: int = fcntl.LOCK_SH) -> bool:
    """Whether no process of this host holds the lock; with LOCK_EX, whether none shares it either."""
    try:
        descriptor = open_file(path)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def _holding(path: str, patience: float, how: int = fcntl.LOCK_SH) -> dict[str, Any] | None:
    """The record of the process that holds the lock. Under `stranger` another one that has taken it.

    None if it was released meanwhile.
    """
    deadline = time.monotonic() + patience  # it may be about to write its record
    while True:
        found = _read(path)
        if _is_of_other_host(found) or lock_holders.is_holder(found, path):
            return found
        if _is_free(path, how):
            return None
        if time.monotonic() >= deadline:
            return {"host": process_id.host(), "stranger": lock_holders.described(path)}
        time.sleep(0.01)


def other_host(holder: Mapping[str, Any]) -> str | None:
    """Where a holder runs that cannot be signalled from here: another host, another pid namespace; else None."""
    if _is_of_other_host(holder):
        return str(holder["host"])
    if process_id.in_other_namespace(holder.get("identity") or (), holder.get("pid_namespace")):
        return f"{holder['host']} (another pid namespace)"
    return None


def _hint(holder: Mapping[str, Any], path: str) -> str:
    """What to do about a runner on another host: only the kernel there knows whether it still runs."""
    if signs := heartbeat.said(holder, Place.of(path)):
        return f"; stop it there, or wait: {signs}"
    return f"; if it does not run there any more, delete {path}"


def was_left(path: str) -> bool:
    """True if the lock is free, and the last holder did not release it itself: it was killed."""
    recorded = bool(_read(path))
    held = holder(path)  # in this order: another process may take it meanwhile
    return recorded and (held is None or "stranger" in held)


def _is_of_other_host(holder: Mapping[str, Any]) -> bool:
    return holder.get("host") not in (None, process_id.host())


def _read(path: str) -> dict[str, Any]:
    """Empty while it is free, for a moment while it is being written, and for what is not the record of a holder."""
    found = record_file.look(path, _holder)
    return found if isinstance(found, dict) else {}


def _holder(record: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for what is not the record of a holder."""
    fields = Fields(record)
    if "identity" in fields and not process_id.is_record(record["identity"]):
        raise fields.odd("identity", "a pid record")
    fields.whole("pid", least=1)
    fields.text("host")
    fields.text("since")
    fields.text("pid_namespace", None)
    fields.whole(heartbeat.KEY, None)
    return record
