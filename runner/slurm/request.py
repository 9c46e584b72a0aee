"""What jobs ask of Slurm: options of the command line and keys of a config -> options of sbatch. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.core.job import Job
from runner.core.options import OF_SLURM, RunOptions

LEAST_NOTICE = 120  # seconds before the time limit at which a job is asked to save, at least
RECORDING = 60  # seconds beyond the grace in which the end is recorded and the requeue requested
UNLIMITED = ("0", "infinite", "unlimited")
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


@dataclass(frozen=True, slots=True)
class SlurmRequest:
    """One allocation. Jobs with equal requests share an array; `words` are options of sbatch."""

    words: tuple[str, ...]
    seconds: float | None  # the time limit; None: that of the partition
    tasks: int  # processes that srun starts; 1: the job is started without srun

    @classmethod
    def of(cls, options: RunOptions, config: Mapping[str, Any] | None = None) -> SlurmRequest:
        """The request of a job with this config, whose keys count before the options of the batch."""
        given = {name: (config or {}).get(name) or getattr(options, name) for name in OF_SLURM}
        words = [f"--{name.removeprefix('slurm_').replace('_', '-')}={value}" for name, value in given.items() if value]
        tasks = (int(given["slurm_nodes"] or 1)) * int(given["slurm_ntasks_per_node"] or 1)
        return cls((*words, *options.slurm_extra), limit_of(str(given["slurm_time"] or "")), tasks)


def limit_of(text: str) -> float | None:
    """Seconds of a time limit as Slurm writes it: minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S. None for any other text."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    days, *rest = found.groups()
    parts = [int(part) for part in rest if part is not None]
    units = (3600, 60, 1) if days or len(parts) == 3 else (60, 1)
    seconds = float(sum(part * unit for part, unit in zip(parts, units, strict=False)) + 86400 * int(days or 0))
    return seconds or None


def notice(options: RunOptions, limit: float | None) -> int:
    """Seconds before the time limit at which Slurm sends its signal: enough to save, at most half of a short limit."""
    wanted = max(LEAST_NOTICE, sum(options.grace) + RECORDING)
    return int(wanted if limit is None else min(wanted, limit / 2))


def problems(job: Job | None, options: RunOptions) -> list[str]:
    """What is wrong with the options of a batch, or with the keys of a job's config."""
    config = {} if job is None else job.config
    where = "" if job is None else f"{job.name}: "
    errors = []
    time = str(config.get("slurm_time") or ("" if job is not None else options.slurm_time))
    if time and limit_of(time) is None and time.casefold() not in UNLIMITED:
        errors.append(f"{where}slurm_time {time!r} is not a time of Slurm's; write minutes, H:M:S or D-H")
    for name in ("slurm_cpus_per_task", "slurm_nodes", "slurm_ntasks_per_node"):
        value = config.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            errors.append(f"{where}{name} {value!r} is not a whole number above 0")
    for name, value in config.items():
        if name in OF_SLURM and not isinstance(value, int | str):
            errors.append(f"{where}{name} {value!r} is neither a text nor a number")
    odd = [word for word in options.slurm_extra if not word.startswith("-") or len(shlex.split(word)) != 1]
    if job is None:
        errors += [f"--slurm_extra {word!r} is not an option of sbatch; write it as --key=value" for word in odd]
    return errors
