"""Processes that a job left behind when its supervisor and its runner were killed. Found by their mark (Linux)."""

from __future__ import annotations

import signal
import time

from runner.core.job import Job
from runner.disk import supervisor_file
from runner.processes import process_tree

POLL = 0.05  # seconds between two looks


def of(job: Job) -> list[int]:
    """The processes of a job that live although its supervisor does not."""
    found = supervisor_file.read(job.out_dir)
    if found is None or found.on_other_host or found.alive or not found.mark:
        return []
    return process_tree.marked(found.mark, job.out_dir)


def end(job: Job, grace: float) -> list[int]:
    """Ask them to end, and kill those that have not after `grace` seconds. Returns those that are there even then."""
    found = supervisor_file.read(job.out_dir)
    if found is None or not found.mark:
        return []
    if grace:
        process_tree.send(of(job), signal.SIGTERM)
        process_tree.send(of(job), signal.SIGCONT)
    deadline = time.monotonic() + grace
    while of(job) and time.monotonic() < deadline:
        time.sleep(POLL)
    process_tree.kill_marked(found.mark, job.out_dir)
    return of(job)
