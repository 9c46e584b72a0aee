"""The processes below one process, and the processes that carry a mark in their environment. Only finds and signals."""

import os
import signal
import sys
import time

GONE_WITHIN = 5.0  # seconds that a killed process may take to be gone
MARK = "RUNNER_JOB_ID"  # each job gets a unique value: whatever it starts inherits it, in a session of its own too
FOLDER = "RUNNER_JOB_DIR"  # the job's folder: a record of another job that names this mark does not mean it


class Process:
    """One that can be seen and has not ended (a zombie has). Not a dataclass: every supervisor imports this file."""

    __slots__ = ("group", "parent", "pid", "session")

    def __init__(self, pid: int, parent: int, group: int, session: int) -> None:
        self.pid = pid
        self.parent = parent
        self.group = group
        self.session = session


def processes() -> list[Process]:
    """All processes that can be seen; zombies are left out."""
    if not sys.platform.startswith("linux"):
        return _processes_by_ps()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # "pid (name) state ppid pgrp session ...": the name may hold spaces and parentheses.
                state, *ids = file.read().rpartition(b")")[2].split(None, 4)[:4]
        except OSError:  # it ended while we looked
            continue
        if state not in (b"Z", b"X"):
            found.append(Process(int(name), *map(int, ids)))
    return found


def _processes_by_ps() -> list[Process]:
    rows = [line.split() for line in ps("-axo", "pid=,ppid=,pgid=,state=").splitlines()]
    # Sessions have no numbers there: each group counts as one.
    return [Process(int(p), int(pp), int(pg), int(pg)) for p, pp, pg, state in rows if not state.startswith("Z")]


def ps(*options: str) -> str:
    """What the program ps prints, where there is no /proc."""
    import subprocess  # macOS only: every supervisor imports this file

    return subprocess.run(["ps", *options], capture_output=True, text=True, check=False).stdout


def parents() -> dict[int, int]:
    """Process id -> id of its parent, of all processes that can be seen; zombies are left out."""
    return {process.pid: process.parent for process in processes()}


def ancestors() -> list[int]:
    """The processes above this one, the nearest first."""
    above, found = parents(), [os.getppid()]
    while found[-1] in above and (parent := above[found[-1]]) not in found:
        found.append(parent)
    return found


def session(leader: int) -> list[Process]:
    """The processes of a session that is led by this one."""
    return [process for process in processes() if process.session == leader]


def descendants(root: int) -> list[int]:
    """The processes below `root`, parents before children."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found = list(children.get(root, ()))
    for pid in found:  # grows while it is walked
        found.extend(children.get(pid, ()))
    return found


def marked(mark: str, folder: str | os.PathLike[str]) -> list[int]:
    """The processes whose environment holds this mark of the job in this folder (Linux; elsewhere none are found)."""
    entry, where = os.fsencode(f"{MARK}={mark}"), os.fsencode(f"{FOLDER}=")
    found = []
    if sys.platform.startswith("linux"):
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/environ", "rb") as file:
                        words = file.read().split(b"\0")
                    if entry in words:
                        own = next((word[len(where) :] for word in words if word.startswith(where)), None)
                        if own is None or is_same_folder(os.fsdecode(own), folder):
                            found.append(int(name))
                except OSError:  # it ended, or belongs to another user
                    continue
    return found


def is_same_folder(known: str, folder: str | os.PathLike[str]) -> bool:
    """True if a process that was started for `known` belongs to `folder`, which may have been moved since."""
    try:
        return os.path.samestat(os.stat(known), os.stat(folder))
    except OSError:
        return True


def send(pids: list[int], number: int) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def send_group(leader: int, number: int) -> None:
    """Send a signal to a process group, if there is one."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        pass


def kill_below(root: int) -> list[int]:
    """Stop, then kill everything below `root`, once; returns what was found.

    Stopped first: a tree that forks while it is killed process by process can outrun its killer.
    """
    found: list[int] = []
    while new := [pid for pid in descendants(root) if pid not in found]:
        send(new, signal.SIGSTOP)
        found += new
    send(found, signal.SIGKILL)
    return found


def kill_marked(mark: str, folder: str | os.PathLike[str]) -> None:
    """Stop, then kill every process that carries this mark of the job in this folder."""
    found: list[int] = []
    while new := [pid for pid in marked(mark, folder) if pid not in found]:
        send(new, signal.SIGSTOP)
        found += new
    send(found, signal.SIGKILL)
    deadline = time.monotonic() + GONE_WITHIN
    while marked(mark, folder) and time.monotonic() < deadline:  # only then is free what it held, such as GPU memory
        time.sleep(0.01)


def reap(but: int | None) -> None:
    """Take the exit status of adopted orphans, so that no zombie stays; never that of `but`."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in (0, but):
            return
        os.waitpid(found.si_pid, os.WNOHANG)
