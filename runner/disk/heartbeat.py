"""Signs of life of a runner on another host: the age of its lock file, which it renews. Knows no locks of the kernel.

The kernel here does not know whether a process lives there, and over NFS a lock may reach no other host. Clocks of
hosts differ: an age is the difference of two times of the same file server.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from typing import Any

from runner.core import clock
from runner.core.text import duration
from runner.disk import atomic
from runner.disk.place import Place
from runner.processes import process_id

KEY = "renewed_every"  # of the record of a holder that gives signs of life: seconds
EVERY = 30
EXPIRES = 300.0  # seconds without a sign of life after which a holder has died: some that are late do not count


def moment() -> float:
    """Seconds, also those in which this machine was suspended: another host may have waited in vain meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def is_over(record: Mapping[str, Any], place: Place) -> bool:
    """Whether a holder that gave signs of life has died."""
    if not record.get(KEY):
        return False
    try:
        found = os.lstat(place)
        return clock.seconds() - found.st_mtime >= EXPIRES and age(place) >= EXPIRES
    except OSError:  # it cannot be known: then it lives
        return False


def age(place: Place) -> float:
    """Seconds since the last sign of life, by the clock of the file server. Raises OSError."""
    probe = place.parent / f".{place.name}.{process_id.host()}.{os.getpid()}.now"
    descriptor = probe.open(os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.utime(descriptor)
        return os.fstat(descriptor).st_mtime - os.lstat(place).st_mtime
    finally:
        os.close(descriptor)
        probe.remove()


def said(record: Mapping[str, Any], place: Place) -> str:
    """How long ago the last sign of life of a living holder was, and when it counts as dead; empty without any."""
    if not record.get(KEY):
        return ""
    try:
        seconds = max(0.0, age(place))
    except OSError:
        return ""
    return f"its last sign of life was {duration(seconds)} ago, and after {duration(EXPIRES)} without one it is free"


def take_over(place: Place, record: Mapping[str, Any]) -> Place | None:
    """Be the one host of several that replaces the record of a dead holder; None if another one is.

    Returns a mark, to be removed when the new record is written. A mark of a host that died with it expires, too.
    """
    who = f"{record.get('pid')} {record.get('host')} {record.get('since')}"
    mark = place.parent / f".{place.name}.{hashlib.sha256(who.encode()).hexdigest()[:16]}.taken"
    if atomic.create(mark, b""):
        return mark
    with contextlib.suppress(OSError):  # the other one has just removed it
        if age(mark) >= EXPIRES:
            mark.remove()
    return None
