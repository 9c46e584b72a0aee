"""Jobs that share a GPU by their memory: what cannot work, how many at once, and what is known of each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.text import count, listed, shown, size
from runner.gpus import preallocation
from runner.gpus.devices import MEBIBYTE, Gpu
from runner.gpus.kinds import kind_of
from runner.gpus.leases import BY_MEMORY
from runner.gpus.packing import PLACES
from runner.processes import cpus
from runner.reports import gpu_memory

HEADING = "GPU memory of "  # of a note on one kind of job
SHARED = "jobs that share a GPU get "
OWN_NOTES = (HEADING, SHARED)  # how the notes of this module begin
KINDS = 5  # of which a note is made


def errors(jobs: Sequence[Job], options: RunOptions, found: Sequence[Gpu], environ: Mapping[str, str]) -> list[str]:
    """What keeps jobs from sharing a GPU by memory."""
    if options.jobs_per_gpu == 1 and not options.gpu_memory:
        return []
    said = [
        f"--gpu_memory: GPU {gpu.label} has {size(gpu.memory_total)}, less than {size(options.gpu_memory * MEBIBYTE)}"
        for gpu in found
        if gpu.memory_total < options.gpu_memory * MEBIBYTE
    ]
    sharing = jobs if options.jobs_per_gpu != 1 else ()
    problems = (preallocation.problem({**environ, **job.env}, options.jobs_per_gpu or None) for job in sharing)
    said += [f"--jobs_per_gpu {options.jobs_per_gpu or 'auto'}: {problem}" for problem in problems if problem]
    return list(dict.fromkeys(said))


def workers(jobs_per_gpu: int, gpus: int) -> int:
    """How many jobs run at a time, where the user does not say so: no more than there are CPUs to feed them."""
    if jobs_per_gpu != BY_MEMORY:
        return gpus * jobs_per_gpu
    return min(gpus * PLACES, max(gpus, int(cpus.usable())))


def notes(plan: Plan, options: RunOptions, environ: Mapping[str, str]) -> list[str]:
    """What jobs that share a GPU are told, and for each kind whether its memory is declared, measured or unknown."""
    told = preallocation.environment(environ) if options.jobs_per_gpu != 1 else {}
    shared = [f"{SHARED}{' and '.join(f'{name}={value}' for name, value in sorted(told.items()))}"] if told else []
    if options.jobs_per_gpu != BY_MEMORY and not options.gpu_memory:
        return shared
    kinds: dict[str, list[str]] = {}
    for job in plan.jobs:
        kinds.setdefault(kind_of(job), []).append(job.name)
    known = gpu_memory.measured(str(plan.root.parent))
    declared = options.gpu_memory * MEBIBYTE
    said = [
        *shared,
        *(
            f"{HEADING}{listed(names, 3)}: {_said(known.get(kind), declared)}"
            for kind, names in list(kinds.items())[:KINDS]
        ),
    ]
    more = len(kinds) - KINDS
    return [*said, f"{HEADING}{count(more, 'kind')} of jobs more: not shown"] if more > 0 else said


def _said(known: gpu_memory.Measured | None, declared: int) -> str:
    if known is not None and known.peak >= declared:
        return f"{size(known.peak)} measured ({shown(known.where)})"
    if declared:
        return f"{size(declared)} declared"
    return "unknown; the first of them runs alone and is measured"
