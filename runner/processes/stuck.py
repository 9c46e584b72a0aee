"""Why a process is still there that was killed, or has ended: the kernel, or a debugger. Reads /proc (Linux).

Standard library only; every supervisor imports it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterable

IN_THE_KERNEL = "D"  # the state of a process that no signal reaches: it waits for a disk, a driver, a frozen group


def unkillable(pids: Iterable[int]) -> str:
    """A phrase on processes that are still there although they were killed."""
    words = [f"{pid} (it waits in the kernel)" if _field(pid, "State") == IN_THE_KERNEL else str(pid) for pid in pids]
    return f"{'process' if len(words) == 1 else 'processes'} {', '.join(words)} could not be killed"


def held(pid: int) -> str:
    """A phrase on a child that has ended, and whose exit its parent is not told."""
    tracer = _field(pid, "TracerPid")
    by = f"a debugger (process {tracer})" if tracer.strip("0") else "the kernel"
    return f"its exit code is not known: process {pid} has ended, and {by} holds it"


def _field(pid: int, name: str) -> str:
    """The first word of a line of the process's status; empty where there is none."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((line.split()[1] for line in file if line.startswith(f"{name}:")), "")
    except (OSError, ValueError, IndexError):  # it is gone
        return ""
