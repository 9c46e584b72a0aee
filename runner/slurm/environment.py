"""The environment of what is submitted: chosen variables only. What an outer job of Slurm's set must not reach it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

#: What programs need to find themselves, their libraries and the user's files. Secrets are exported by name only.
USUAL = (
    "HOME", "PATH", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV",
    "LD_LIBRARY_PATH", "PYTHONPATH", "MODULEPATH", "MODULESHOME",
)  # fmt: skip
ALL = "ALL"
_OF_SLURM = ("SLURM_", "SLURMD_", "SBATCH_", "SQUEUE_", "SALLOC_", "SRUN_", "SCANCEL_", "PMI_", "PMIX_")
_KEPT = ("SLURM_CONF",)
FASTER = "RUNNER_SLURM_POLL"  # seconds between two looks instead of the usual ones, for tests and for small clusters


def poll(usual: float) -> float:
    """Seconds between two looks."""
    return float(os.environ.get(FASTER) or usual)


def without_slurm(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what Slurm sets in a job, but with the place of its configuration."""
    return {name: text for name, text in environ.items() if name in _KEPT or not name.startswith(_OF_SLURM)}


def of_submission(environ: Mapping[str, str], exported: Sequence[str]) -> dict[str, str]:
    """What sbatch runs with, all of which the job gets; `exported` are names of more variables, or ALL."""
    clean = without_slurm(environ)
    if ALL in exported:
        return clean
    names = {*USUAL, *_KEPT, *exported}
    return {name: text for name, text in clean.items() if name in names or name.startswith(("LC_", "RUNNER_"))}


def missing(environ: Mapping[str, str], exported: Sequence[str]) -> list[str]:
    """The names that were to be exported, and are not set."""
    return [name for name in exported if name != ALL and name not in environ]
