"""What the processes of a job did when it was stopped for a limit: witness.txt in its folder. Linux; reads /proc.

Standard library only, imported by every supervisor. A Python program can show where its threads stand: it registers
faulthandler for SIGUSR2 with a file of this NAME in memory. A program without one never gets the signal.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from runner.core import clock
from runner.disk import atomic, layout
from runner.processes import process_tree

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from runner.disk.place import Place

NAME = "runner_stacks"
MOST = 64  # processes, and threads of each
WITHIN = 1.0  # seconds that programs have to show their stacks
LARGEST = 1 << 18  # bytes of the stacks of a program
FIELDS = ("State", "PPid", "Threads", "VmRSS", "VmSwap", "SigBlk", "SigIgn", "SigCgt")


def write(folder: Place, why: str) -> None:
    """Write it for all processes below this one. What cannot be read is left out; a full disk loses it."""
    if not sys.platform.startswith("linux"):
        return
    pids = process_tree.descendants(os.getpid())[:MOST]
    known = "".join(map(_process, pids))  # first: showing its stacks changes what a process waits for
    text = f"{clock.now()} {why}; its processes then:\n{known}{_stacks(pids)}"
    try:
        atomic.write_bytes(folder / layout.WITNESS, text.encode(errors="replace"))
    except OSError:
        pass


def _process(pid: int) -> str:
    """A process and what each of its threads waits for in the kernel."""
    fields = dict(line.partition(":")[::2] for line in _read(f"/proc/{pid}/status").splitlines())
    if not fields:
        return ""
    told = ", ".join(f"{name} {' '.join(fields[name].split())}" for name in FIELDS if name in fields)
    lines = [f"\nprocess {pid} ({fields.get('Name', '').strip()}): {told}"]
    try:
        threads = sorted(map(int, os.listdir(f"/proc/{pid}/task")))[:MOST]
    except (OSError, ValueError):
        threads = []
    for thread in threads:
        where = f"/proc/{pid}/task/{thread}"
        waits = _read(f"{where}/wchan").strip("0\n") or "nothing that can be seen"
        lines.append(f"  thread {thread} ({_read(f'{where}/comm').strip()}): waits for {waits}")
        lines += [f"    {line}" for line in _read(f"{where}/stack").splitlines()]  # only root may read it
    return "\n".join(lines) + "\n"


def _stacks(pids: list[int]) -> str:
    """What the programs that show their stacks print on SIGUSR2. Processes that were forked share a file."""
    files: dict[tuple[int, int], tuple[list[int], int]] = {}
    for pid in pids:
        found = _file(pid) if _catches(pid) else None
        if found is not None:
            number, descriptor = found
            files.setdefault(number, ([], descriptor))[0].append(pid)
    for asked, _ in files.values():
        process_tree.send(asked, signal.SIGUSR2)
    deadline = time.monotonic() + WITHIN
    texts = [
        f"\nstacks of {', '.join(map(str, asked))}:\n{_shown(descriptor, deadline)}"
        for asked, descriptor in files.values()
    ]
    for _, descriptor in files.values():
        os.close(descriptor)
    return "".join(texts)


def _file(pid: int) -> tuple[tuple[int, int], int] | None:
    """The file in memory in which a program shows its stacks: what identifies it, and a descriptor of ours."""
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):
            if os.readlink(f"{folder}/{name}").startswith(f"/memfd:{NAME} "):
                descriptor = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                about = os.fstat(descriptor)
                return (about.st_dev, about.st_ino), descriptor
    except OSError:  # it ended, or is another user's
        pass
    return None


def _catches(pid: int) -> bool:
    """True if the process has a handler for SIGUSR2; without one the signal would kill it."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGUSR2 - 1) & 1)
    return False


def _shown(descriptor: int, deadline: float) -> str:
    """The content of the file, once it does not grow any more or the time is over."""
    size = -1
    while time.monotonic() < deadline:
        now = os.fstat(descriptor).st_size
        if now and now == size:
            break
        size = now
        time.sleep(0.05)
    return os.pread(descriptor, LARGEST, 0).decode(errors="replace") or "(nothing was shown in time)\n"


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""
