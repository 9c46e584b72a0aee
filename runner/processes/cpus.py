"""How many CPUs this process may use: those of its affinity, within the quotas of its control groups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def usable(groups: Path = _GROUPS, own: Path = _OWN_GROUPS) -> float:
    """A container with a quota of one and a half CPUs has 1.5, however many the machine has."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([float(allowed), *_quotas(groups, own)])


def _quotas(groups: Path, own: Path) -> Iterator[float]:
    """The quotas of our groups and of all that contain them, in CPUs. Both versions of control groups."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / "cpu" if controllers else groups
        folder = root / path.lstrip("/")
        for place in (folder, *folder.parents):
            if place.is_relative_to(root) and (quota := _quota(place)) is not None:
                yield quota


def _quota(folder: Path) -> float | None:
    """The quota of one group; None where there is none, or none that can be read."""
    try:
        if (file := folder / "cpu.max").exists():
            most, period = file.read_text().split()
        else:
            most, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(most) / int(period) if int(most) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number
        return None
