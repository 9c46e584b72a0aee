"""How much memory the processes of a job may use together: that of the machine, within the limits of control groups."""

from __future__ import annotations

import os
from pathlib import Path

from runner.processes import control_groups

FILES = ("memory.max", "memory.limit_in_bytes")  # of version 2 and 1


def limit(groups: Path = control_groups.GROUPS, own: Path = control_groups.OWN) -> int:
    """Bytes. A job is in the groups of its runner."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    known = [_of(folder / name) for folder in control_groups.folders("memory", groups, own) for name in FILES]
    return min([machine, *(most for most in known if most is not None)])


def _of(path: Path) -> int | None:
    """The limit in a file; None where there is none, or none that can be read."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" is not a number
        return None
