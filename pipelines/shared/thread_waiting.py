"""How the threads of torch wait for each other. libgomp reads it from the environment when torch is loaded.

By default they look for the result of the others some 300,000 times, about 15 ms, before they sleep. With other work on
the machine the thread that they wait for then lacks their core: a small training took twelve times as long with three
times as many processes as cores. If they sleep at once, a small operation takes 10 to 40 microseconds more on an idle
machine, and a small compiled network in bfloat16, whose step is hundreds of them, half as long again. So they look for
about a millisecond where each of them has a core, and sleep at once elsewhere (docs/performance.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from runner.processes import cpus

STAT = Path("/proc/stat")
SPINS = "20000"
OF_OTHERS = 0.5  # cores that other work may use: the runner, a shell, an editor
SHORTEST = 0.05  # seconds; the machine counts in hundredths of a second


@dataclass(frozen=True, slots=True)
class Look:
    """Seconds of the clock, of all cores at work, and of those the ones that this process used."""

    clock: float
    busy: float
    own: float


def look(stat: Path = STAT) -> Look | None:
    """None where the system does not tell."""
    try:
        with stat.open() as file:
            user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, file.readline().split()[1:])
        ticks = user + nice + system + irq + softirq  # those of guests of a virtual machine are in `user`
        return Look(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time())
    except (OSError, ValueError):
        return None


def cores_of_others(before: Look | None, now: Look | None) -> float | None:
    """How many cores other processes used between two looks; None if that cannot be said."""
    if before is None or now is None or now.clock - before.clock < SHORTEST:
        return None
    return max(0.0, now.busy - before.busy - (now.own - before.own)) / (now.clock - before.clock)


def choose(environ: MutableMapping[str, str], before: Look | None, now: Look | None) -> None:
    """Set what the user has not set."""
    if "OMP_WAIT_POLICY" in environ or "GOMP_SPINCOUNT" in environ:
        return
    environ["OMP_WAIT_POLICY"] = "PASSIVE"
    others, cores = cores_of_others(before, now), os.cpu_count() or 1
    threads = threads_of(environ)
    if others is not None and threads <= cpus.usable() and threads + others <= cores + OF_OTHERS:
        environ["GOMP_SPINCOUNT"] = SPINS


def threads_of(environ: Mapping[str, str]) -> int:
    """How many torch will start: one for each CPU of the process, whatever its quota of time."""
    given = environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() else len(os.sched_getaffinity(0))
