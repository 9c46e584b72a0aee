"""What the processes of a job use of the machine, from Linux's /proc. Elsewhere nothing is known."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One process at one moment. Seconds of processor time; `ended`: that of its children that have ended."""

    parent: int
    seconds: float
    ended: float
    threads: int
    rss: int  # bytes, shared ones included


@dataclass(frozen=True, slots=True)
class Usage:
    """All processes of a job together. Bytes; `cpu_seconds` since its start; None: not known."""

    processes: int
    threads: int
    cpu_seconds: float
    rss: int  # pages that processes share count once for each
    pss: int | None = None  # they count once
    swap: int | None = None
    read_bytes: int | None = None  # from disks
    write_bytes: int | None = None


def table() -> dict[int, Process]:
    """Every process that can be seen."""
    found = {}
    for name in os.listdir("/proc") if sys.platform.startswith("linux") else ():
        if name.isdigit():
            try:
                found[int(name)] = _process(_read(int(name), "stat"))
            except (OSError, ValueError, IndexError):  # it ended while we looked
                continue
    return found


def _process(stat: bytes) -> Process:
    """Fields of proc(5): 4 ppid, 14 to 17 utime, stime, cutime, cstime, 20 num_threads, 24 rss."""
    words = stat.rpartition(b")")[2].split()
    own, ended = int(words[11]) + int(words[12]), int(words[13]) + int(words[14])
    return Process(int(words[1]), own / TICKS, ended / TICKS, int(words[17]), max(int(words[21]), 0) * PAGE)


def below(supervisor: int, found: Mapping[int, Process]) -> list[int]:
    """The processes of the job: all below its supervisor, which adopts those that a program leaves behind."""
    children: dict[int, list[int]] = {}
    for pid, process in found.items():
        children.setdefault(process.parent, []).append(pid)
    pids = list(children.get(supervisor, ()))
    for pid in pids:  # grows while it is walked
        pids.extend(children.get(pid, ()))
    return pids


def usage(supervisor: int, found: Mapping[int, Process], *, exact: bool) -> Usage | None:
    """What a job uses; None when nothing of it is left. `exact`: its memory without counting pages twice, which costs
    some milliseconds for each gigabyte."""
    pids = below(supervisor, found)
    if not pids:
        return None
    processes = [found[pid] for pid in pids]
    ended = found[supervisor].ended if supervisor in found else 0.0
    proportional = _sums(pids, "smaps_rollup", (b"Pss:", b"SwapPss:"), 1024) if exact else None
    pss, swap = proportional or (None, None)
    read, written = _sums(pids, "io", (b"read_bytes:", b"write_bytes:"), 1) or (None, None)
    return Usage(
        processes=len(pids),
        threads=sum(one.threads for one in processes),
        cpu_seconds=ended + sum(one.seconds + one.ended for one in processes),
        rss=sum(one.rss for one in processes),
        pss=pss, swap=swap, read_bytes=read, write_bytes=written,
    )  # fmt: skip


def _sums(pids: list[int], name: str, keys: tuple[bytes, bytes], unit: int) -> tuple[int, int] | None:
    """The sums of two entries of a file of each process; None if one of them may not be read."""
    sums = [0, 0]
    for pid in pids:
        try:
            lines = _read(pid, name).splitlines()
        except ProcessLookupError:
            continue
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not os.path.exists(f"/proc/{pid}"):
                continue
            return None
        for place, key in enumerate(keys):
            sums[place] += next((int(line.split()[1]) * unit for line in lines if line.startswith(key)), 0)
    return sums[0], sums[1]


def _read(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
        return file.read()
