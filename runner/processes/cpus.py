"""How many CPUs this process may use: those of its affinity, within the quotas of its control groups and of Slurm."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from runner.processes import control_groups


def usable(groups: Path = control_groups.GROUPS, own: Path = control_groups.OWN) -> float:
    """A container with a quota of one and a half CPUs has 1.5, however many the machine has."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [*map(_quota, control_groups.folders("cpu", groups, own)), _of_slurm(os.environ)]
    return min([float(allowed), *(quota for quota in quotas if quota is not None)])


def _of_slurm(environ: Mapping[str, str]) -> float | None:
    """What Slurm gave the step or the script that this process belongs to; not every cluster binds it to them."""
    number = environ.get("SLURM_CPUS_ON_NODE", "") if "SLURMD_NODENAME" in environ else ""
    return float(number) if number.isdecimal() and int(number) > 0 else None


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
