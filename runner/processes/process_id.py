"""Distinguish a process from a later one with the same number. A pid record is [pid, start time, boot].

A number means something on one host and in one pid namespace only: a container has its own numbers.

Standard library only; every supervisor imports it.
"""

from __future__ import annotations

import os
import sys

from runner.processes import kernel_file, process_tree

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Sequence

_boot_read: str | None = None  # it stays the same as long as this process lives
_own_read = [""]


def host() -> str:
    """The name of this host, as socket.gethostname, without the cost of its import."""
    return os.uname().nodename


def namespace() -> str:
    """The pid namespace of this process; empty on a system without."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def in_other_namespace(record: Sequence[str], namespace_of_record: str | None) -> bool:
    """True for a process of this kernel in another pid namespace: its number may be that of another process here."""
    own = namespace()
    booted = len(record) > 2 and bool(record[2]) and record[2] == boot()
    return booted and bool(namespace_of_record and own) and namespace_of_record != own


def command(pid: int) -> list[str] | None:
    """The words of a process's command, without empty ones at its end; None where they cannot be read.

    A process that has replaced its words (see `command_line`) has such behind them.
    """
    try:
        text = kernel_file.read(f"/proc/{pid}/cmdline").rstrip(b"\0")
        return [os.fsdecode(word) for word in text.split(b"\0")] if text else []
    except OSError:
        return None


def of(pid: int) -> list[str] | None:
    """The pid record of a process; None if it does not exist, or is a zombie."""
    if sys.platform.startswith("linux"):
        try:
            fields = kernel_file.read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        except OSError:
            return None
        if fields[0] in (b"Z", b"X"):
            return None
        return [str(pid), fields[19].decode(), boot()]
    return _of_by_ps(pid)


def of_child(pid: int) -> list[str]:
    """The pid record of a child of ours, which may have ended already."""
    return of(pid) or [str(pid), "", ""]


def own() -> list[str]:
    """That of this process; read once, as the kernel takes long to write it."""
    global _own_read
    pid = os.getpid()  # another one after a fork
    if _own_read[0] != str(pid):
        _own_read = of_child(pid)
    return [*_own_read]


def is_record(value: object) -> bool:
    """True for what can be a pid record: texts, the first of which is a number that a process can have."""
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(item, str) for item in value):
        return False
    return len(value[0]) < 10 and value[0].isascii() and value[0].isdecimal() and int(value[0]) > 0


def alive(record: Sequence[str] | None) -> bool:
    """True if the process of this pid record still exists, on this host."""
    return record is not None and is_record(record) and of(int(record[0])) == list(record)


def boot() -> str:
    """Which start of the system this is; empty where that is hidden."""
    global _boot_read
    if _boot_read is None:
        try:
            _boot_read = kernel_file.read("/proc/sys/kernel/random/boot_id").decode().strip()
        except OSError:  # a container that hides it
            _boot_read = ""
    return _boot_read


def _of_by_ps(pid: int) -> list[str] | None:
    state, _, started = process_tree.ps("-o", "state=,lstart=", "-p", str(pid)).strip().partition(" ")
    return None if not state or state.startswith("Z") else [str(pid), started.strip(), ""]
