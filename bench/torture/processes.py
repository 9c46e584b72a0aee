"""The processes of a torture run, found by a mark in their environment. Linux: reads /proc."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NamedTuple

RUN = "TORTURE_RUN"  # in the environment of every process of a run


class Process(NamedTuple):
    """One that lived when it was seen; no other process has the same pid and start time."""

    pid: int
    start: str
    parent: int
    command: str

    @property
    def alive(self) -> bool:
        return (about := stat(self.pid)) is not None and about[0] == self.start


def stat(pid: int) -> tuple[str, int] | None:
    """The start time and the parent of a process; None if there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else (fields[19], int(fields[1]))


def processes(run: str, word: str = "") -> dict[int, Process]:
    """The processes of a run whose command contains `word`; zombies have no environment."""
    found = {}
    entry = f"{RUN}={run}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if entry not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended, or is somebody else's
            continue
        pid = int(folder.name)
        if word in command and (about := stat(pid)) is not None:
            found[pid] = Process(pid, *about, command.strip())
    return found


def descends(pid: int, ancestor: int) -> bool:
    """True if `ancestor` is the parent of a process, or its parent's parent, and so on."""
    while pid > 1 and (about := stat(pid)) is not None:
        pid = about[1]
        if pid == ancestor:
            return True
    return False


def send(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # it ended by itself
        pass
