"""Tell a process from a later one with the same number: pid, start time and boot. Imported by every supervisor."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # what typing.TYPE_CHECKING says, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Sequence


def of(pid: int) -> list[str] | None:
    """[pid, start time, boot] of a process that is there; None for one that is not, or is a zombie."""
    if sys.platform.startswith("linux"):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return None
        if fields[0] in (b"Z", b"X"):
            return None
        return [str(pid), fields[19].decode(), _boot()]
    return _of_by_ps(pid)


def own() -> list[str]:
    """That of this process."""
    return of(os.getpid()) or [str(os.getpid()), "", ""]


def alive(identity: Sequence[str] | None) -> bool:
    """True if the very process that had this identity is still there."""
    return identity is not None and of(int(identity[0])) == list(identity)


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:  # a container that hides it
        return ""


def _of_by_ps(pid: int) -> list[str] | None:
    import subprocess  # macOS only

    asked = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    state, _, started = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else [str(pid), started.strip(), ""]
