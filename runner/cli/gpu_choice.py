"""`--gpus` -> the GPUs of this machine that a batch divides among its jobs, checked before anything starts."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace

from runner.cli import gpu_memory
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.text import count, shown
from runner.executors.gpus import KEY, wanted
from runner.gpus import leases, selection
from runner.gpus.devices import EXCLUSIVE, Gpu
from runner.gpus.leases import BY_MEMORY
from runner.gpus.looker import Looker

LOCAL = "local"  # the executor that can divide them


def with_gpus(plan: Plan, given: Namespace, environ: Mapping[str, str] = os.environ) -> Plan:
    """The plan with the UUIDs of its GPUs, or without a choice of GPUs. Raises UserError with all errors.

    Without --max_workers there are as many jobs at a time as the GPUs have room for.
    """
    options = plan.options
    if not options.gpus:
        return _with_advice(plan, environ)
    if options.executor != LOCAL:
        raise UserError(f"--gpus does not go with --executor {options.executor}, which chooses the GPUs itself")
    snapshot = Looker(environ).look()
    if snapshot.error and options.gpus == selection.AUTO and not any(map(_needs_gpu, plan.jobs)):
        note = f"--gpus auto: {snapshot.error}; no config asks for one, so the jobs run without"
        return replace(plan, options=replace(options, gpus=""), notices=(*plan.notices, note))
    found = selection.chosen(options.gpus, snapshot, environ)
    if not found:
        return replace(plan, options=replace(options, gpus=""))
    if getattr(given, "gpu_memory", None) and getattr(given, "jobs_per_gpu", None) is None:
        options = replace(options, jobs_per_gpu=BY_MEMORY)
    errors = [*_errors(plan.jobs, options, found), *_job_errors(plan.jobs, options, len(found))]
    if errors := [*errors, *gpu_memory.errors(plan.jobs, options, found, environ)]:
        raise UserError(*errors)
    leases.folder(environ)
    if given.gpus is not None and given.max_workers is None:
        options = replace(options, max_workers=gpu_memory.workers(options.jobs_per_gpu, len(found)))
    names = ", ".join(f"{gpu.label} ({gpu.name}, {gpu.uuid[:12]}…)" for gpu in found)
    notes = [note for note in plan.notices if not note.startswith(("GPUs: ", *gpu_memory.OWN_NOTES))]
    return replace(
        plan,
        options=replace(options, gpus=",".join(gpu.uuid for gpu in found)),
        notices=(*notes, f"GPUs: {names}; {count(options.max_workers, 'job')} at a time",
                 *gpu_memory.notes(plan, options, environ)),
    )  # fmt: skip


def _with_advice(plan: Plan, environ: Mapping[str, str]) -> Plan:
    """The plan, with a note where more GPUs could be used than the one that its jobs take in turn."""
    is_local = plan.options.executor == LOCAL and plan.options.max_workers == 1
    if not (is_local and len(plan.jobs) > 1 and any(map(_needs_gpu, plan.jobs))):
        return plan
    found = Looker(environ).look()
    usable = [] if found.error else selection.usable(found, environ)
    if len(usable) < 2:
        return plan
    note = f"the jobs run one after another on a machine with {len(usable)} GPUs; --gpus auto uses them all at once"
    return replace(plan, notices=(*plan.notices, note))


def _errors(jobs: Sequence[Job], options: RunOptions, found: Sequence[Gpu]) -> list[str]:
    """Errors about the GPUs together with the options."""
    errors = []
    if parts := [gpu.label for gpu in found if gpu.part is not None]:
        if any(wanted(job, options) > 1 for job in jobs):
            errors.append(f"{KEY}: a process can use one MIG instance only, and {parts[0]} is one; give each job 1")
        if options.gpu_ids == "index":
            errors.append(f"--gpu_ids index: MIG instances such as {parts[0]} are known by their UUIDs; leave it out")
    if options.jobs_per_gpu == 1:
        return errors
    option = f"--jobs_per_gpu {options.jobs_per_gpu or 'auto'}"
    exclusive = [gpu for gpu in found if gpu.mode in EXCLUSIVE]
    errors += [f"{option}: GPU {gpu.label} is in mode {gpu.mode}, for one process at a time" for gpu in exclusive]
    if any(wanted(job, options) > 1 for job in jobs):
        errors.append(f"{option}: jobs of several GPUs that share them can wait for each other for ever; leave it out")
    return errors


def _job_errors(jobs: Sequence[Job], options: RunOptions, number: int) -> list[str]:
    """Errors for jobs that can never get the GPUs that they need, or name one that they will not see."""
    errors = []
    for job in jobs:
        place = job.name if job.source is None else shown(job.source)
        given = job.config.get(KEY)
        if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 0):
            errors.append(f"{place}: {KEY} is {given!r}; give a whole number, 0 for a job without a GPU")
            continue
        asked = wanted(job, options)
        if asked > number:
            errors.append(f"{place}: asks for {count(asked, 'GPU')}, but --gpus has {number}")
        if problem := _unseen(str(job.config.get("device", "")), asked):
            errors.append(f"{place}: {problem}")
    return list(dict.fromkeys(errors))


def _unseen(device: str, asked: int) -> str | None:
    """What is wrong with the device of a job that gets `asked` GPUs: it sees those alone, numbered from 0."""
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return None
    if asked == 0:
        return f"device is {device!r}, but the job asks for no GPU ({KEY} 0); write cpu"
    if index.isdecimal() and int(index) >= asked:
        return f"device is {device!r}, but the job gets {count(asked, 'GPU')}, numbered from 0; write cuda"
    return None


def _needs_gpu(job: Job) -> bool:
    return str(job.config.get("device", "")).startswith("cuda")
