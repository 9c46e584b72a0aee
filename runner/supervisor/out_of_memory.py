"""Memory that runs out: whom the kernel kills then, and the evidence that it did.

That are its counters of processes that it killed for that, and what was printed. SIGKILL alone is no evidence: anybody
can send it.
"""

from __future__ import annotations

import os
import re
from functools import cache

from runner.processes import kernel_file

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import Final

VMSTAT, CGROUPS, OWN = "/proc/vmstat", "/sys/fs/cgroup", "/proc/self/cgroup"
ENTRY = b"\noom_kill "
SCORE = "/proc/self/oom_score_adj"
JOB_SCORE = 300  # thousandths of the memory that count as used by a process of a job, beyond what it uses
#: Kernel, shells, Slurm, libraries: what they print when memory ran out.
PRINTED = (
    r"out of memory|cannot allocate memory|\bMemoryError\b|std::bad_alloc|can't allocate memory|not enough memory|"
    r"oom[-_ ]?kill|\bOOM\b|Killed process \d+"
)
#: What makes it the memory of a GPU.
OF_GPU = r"\b(?:CUDA|HIP|MPS|GPU|cuBLAS)\b"


def be_killed_first() -> None:
    """Let the kernel rather kill this process, and all that it will start, than the engine or a supervisor.

    A higher score that was inherited stays. A process may lower its own again.
    """
    try:
        descriptor = os.open(SCORE, os.O_RDWR | os.O_CLOEXEC)
        try:
            if int(os.read(descriptor, 16)) < JOB_SCORE:
                os.pwrite(descriptor, b"%d" % JOB_SCORE, 0)
        finally:
            os.close(descriptor)
    except (OSError, ValueError):  # not Linux, or a sandbox that forbids it
        pass


class KillCounters:
    """What the counters were when this was made. A job runs in the cgroup of its supervisor, which makes it before."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        #: As text: only the end of a job that was killed needs the numbers.
        self._before: Final = {path: _text(path) for path in (*cgroup_files(), VMSTAT)}

    def risen(self) -> str | None:
        """The counter that rose since, in words; None if none did, or if there is none."""
        for path, text in self._before.items():
            before = _count(text)
            now = _count(_text(path))
            if before is not None and now is not None and now > before:
                return f"oom_kill in {path} rose from {before} to {now}"
        return None


def printed(lines: list[str], most: int) -> int | None:
    """The place of the last one, of the last `most` lines, that says that memory ran out; None if there is none."""
    places = range(len(lines) - 1, max(len(lines) - most, 0) - 1, -1)
    return next((place for place in places if re.search(PRINTED, lines[place], re.IGNORECASE)), None)


def _text(path: str) -> bytes:
    """The counters in a file; none on another system, and where they are not for us to read."""
    try:
        return kernel_file.read(path)
    except OSError:
        return b""


def _count(text: bytes) -> int | None:
    """The number of processes that were killed."""
    _, found, rest = (b"\n" + text).partition(ENTRY)
    try:
        return int(rest.partition(b"\n")[0]) if found else None
    except ValueError:
        return None


def cgroup_files() -> list[str]:
    """The files with the counters of the cgroup of this process, of version 1 or 2."""
    try:
        return _cgroup_files(kernel_file.read(OWN))
    except OSError:
        return []


@cache
def _cgroup_files(own: bytes) -> list[str]:
    """Those for what the kernel says of the groups of a process: a fork is in the same ones."""
    files = []
    for line in os.fsdecode(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            files += [os.path.join(CGROUPS, path.strip("/"), "memory.events")]
        elif "memory" in controllers.split(","):
            files += [os.path.join(CGROUPS, "memory", path.strip("/"), "memory.oom_control")]
    return files
