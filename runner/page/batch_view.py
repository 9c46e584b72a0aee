"""What the page shows of one batch: its state, its jobs and how far they are. An answer has only what has changed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from runner.core import redact
from runner.core.causes import UNKNOWN
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.state import FAILED, KILLED, LOST, RUNNING
from runner.core.text import count, duration, plain
from runner.disk.layout import BatchPaths, JobPaths
from runner.disk.log_text import placed_lines
from runner.engine.progress import Follower
from runner.output import rows
from runner.page.source import Source
from runner.planners import recorded
from runner.reports import comparison
from runner.reports.best import number
from runner.reports.document.clean import Clean
from runner.reports.document.failed import TITLES
from runner.reports.status import BatchStatus, JobStatus
from runner.supervisor import cause_rules

EVERY = 0.25  # seconds between two looks at the disk, however many tabs ask
ANYWAY = 30.0  # seconds after which a batch in which nothing seems to happen is read all the same
LAST_LINES = 12  # lines of a failed job's errors
LOOKED_AT = 300  # lines, of which the last ones are shown
LOOKS = 24  # 8 colours, each with 3 dashes
WIDTH = 400  # characters of one of them


class BatchView:
    """One batch. `look` is for several threads."""

    def __init__(self, source: Source, root: Path) -> None:
        self._source = source
        self._root = root
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._plan: Plan | None = None
        self._first = self._version = time.time_ns() // 1_000_000  # no version of an earlier start is one of this
        self._looked = -EVERY
        self._jobs: dict[int, tuple[int, dict[str, Any]]] = {}  # number -> version when it changed last, entry
        self._about: tuple[int, dict[str, Any]] = (0, {})
        self._looks: Sequence[int] = ()
        self._followers: dict[int, tuple[Follower, int | None]] = {}
        self._entries: dict[int, tuple[JobStatus, dict[str, Any]]] = {}
        self._columns: dict[str, Any] | None = None
        self._quiet: tuple[object, float] | None = None  # the stamp of a batch without processes, and when it was read

    @property
    def is_active(self) -> bool:
        """Whether it has a runner or running jobs."""
        return self._quiet is None

    def plan(self) -> Plan:
        """The plan, read again when plan.json was replaced. Raises UserError."""
        try:
            about = os.stat(BatchPaths(self._root).plan)  # noqa: PTH116 - text, as theirs
        except OSError as error:
            raise UserError(f"{self._root.name}: plan.json cannot be read ({error.strerror})") from None
        stamp = (about.st_ino, about.st_size, about.st_mtime_ns)
        if self._plan is None or stamp != self._stamp:
            self._plan, self._stamp = recorded.plan(self._root, contents=False), stamp
            self._columns, self._quiet, self._entries = None, None, {}
        return self._plan

    def look(self, since: int) -> dict[str, Any]:
        """The batch and the jobs that changed after version `since`; 0: all. Raises UserError."""
        with self._lock:
            plan = self._now()
            if not self._first <= since <= self._version:  # of an earlier start of the server
                since = 0
            changed, about = self._about
            answer: dict[str, Any] = {"schema": 1, "version": self._version}
            if changed > since:
                answer |= about
            if not since:
                self._columns = self._columns or _settings(plan)
                answer |= self._columns
            answer["jobs"] = [entry for at, entry in self._jobs.values() if at > since]
            return answer

    def version(self) -> int:
        """That of what is on the disk now. Raises UserError."""
        with self._lock:
            self._now()
            return self._version

    def _now(self) -> Plan:
        plan = self.plan()
        if time.monotonic() - self._looked >= EVERY:
            self._read(plan)
            self._looked = time.monotonic()
        return plan

    def _read(self, plan: Plan) -> None:
        """Read the records, unless no process belongs to the batch and none of its own files has changed."""
        stamp = _stamp(self._root)
        now = time.monotonic()
        if self._quiet is not None and self._quiet[0] == stamp and now - self._quiet[1] < ANYWAY:
            return
        status = self._source.status(self._root, plan)
        self._advance(plan, status)
        active = status.runner is not None or any(job.status == RUNNING for job in status.jobs.values())
        self._quiet = None if active else (stamp, now)

    def _advance(self, plan: Plan, status: BatchStatus) -> None:
        """Take over what is on the disk now; what differs gets a new version."""
        version = self._version + 1
        if len(self._looks) != len(plan.jobs):
            self._looks = looks([job.name for job in plan.jobs])
        entries = {
            at: self._entry(at, job, plan, status.jobs[job.name])
            for at, job in enumerate(plan.jobs)
            if job.name in status.jobs
        }
        for at, entry in entries.items():
            if at not in self._jobs or self._jobs[at][1] != entry:
                self._jobs[at] = (version, entry)
                self._version = version
        about = {**_about(status, list(entries.values())), "read_only": self._source.read_only}
        if about != self._about[1]:
            self._about = (version, about)
            self._version = version

    def _entry(self, at: int, job: Job, plan: Plan, status: JobStatus) -> dict[str, Any]:
        """For the page; that of a job that has ended is made once."""
        known = self._entries.get(at)
        if known is not None and known[0] is status:
            return known[1]
        made = {"look": self._looks[at], **_entry(at, job, plan, status, self._progress(at, job, status))}
        if status.ended:
            self._entries[at] = (status, made)
        return made

    def _progress(self, at: int, job: Job, status: JobStatus) -> dict[str, Any]:
        """How far a running job is."""
        if status.status != RUNNING:
            self._followers.pop(at, None)
            return {}
        known = self._followers.get(at)
        if known is None or known[1] != status.attempt:
            known = self._followers[at] = (Follower(job), status.attempt)
        known[0].advance()
        now = known[0].progress
        return {
            "iter": now.iteration,
            "total": now.total,
            "loss": now.loss if now.finite else "not finite",
            "speed": now.speed,
            "left": now.remaining,
            "phase": now.phase,
        }


def _stamp(root: Path) -> object:
    """Another value when a runner, a command or a person has changed something in the folder of a batch."""
    paths = BatchPaths(root)
    found = []
    for path in (root, paths.plan, paths.lock, paths.master_log, paths.labels):
        try:
            about = os.lstat(path)
            found.append((about.st_ino, about.st_size, about.st_mtime_ns))
        except OSError:
            found.append((0, 0, 0))
    return found


def looks(names: Sequence[str]) -> list[int]:
    """A colour and a dash for each job, as one number: by its name, and another one where an earlier job has it.

    They stay when jobs are added, and are the same on every machine.
    """
    taken: dict[int, int] = {}  # look -> jobs that have it
    found = []
    for name in names:
        own = int.from_bytes(sha256(name.encode()).digest()[:4], "big")
        look = min(((own + step) % LOOKS for step in range(LOOKS)), key=lambda look: taken.get(look, 0))
        taken[look] = taken.get(look, 0) + 1
        found.append(look)
    return found


def _entry(at: int, job: Job, plan: Plan, status: JobStatus, progress: Mapping[str, Any]) -> dict[str, Any]:
    """A job for the page. Numbers that JSON does not have become null."""
    entry = {
        "i": at,
        "name": job.name,
        "status": status.status,
        "attempt": status.attempt,
        "seconds": status.seconds,
        "started_at": status.started_at,
        "error": plain(status.error) if status.error else None,
        "note": status.note,
        "host": status.host,
        "gpus": list(status.gpus),
        "metrics": rows.finite({key: value for key, value in status.metrics.items() if _is_shown(value)}),
        "warnings": [plain(line) for line in status.warnings],
        **progress,
    }
    if status.status in (FAILED, KILLED, LOST):
        entry |= _failure(job, plan, status)
    return entry


def _is_shown(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _failure(job: Job, plan: Plan, status: JobStatus) -> dict[str, Any]:
    """Why a job failed, what to do, and the last lines that it wrote to its standard error."""
    rules = cause_rules.for_job(plan.options.causes)
    lines = placed_lines(JobPaths(job.out_dir).stderr)[0][-LOOKED_AT:]
    texts = [plain(line.decode(errors="replace"), WIDTH) for line in lines if line.strip()]
    clean = Clean((*plan.options.not_secret, *job.not_secret))
    return {
        "cause": status.cause,
        "title": _title(status),
        "cause_sure": status.cause_sure,
        "advice": rules.advice_on(status.cause, status.error or "") if status.cause else "",
        "last_lines": clean.lines(texts, LAST_LINES),
    }


def _title(status: JobStatus) -> str:
    """Why it failed in words, as the report says it; empty where nothing is known."""
    if not status.cause or status.cause == UNKNOWN:
        return ""
    words = TITLES.get(status.cause, status.cause.replace("_", " "))
    return words if status.cause_sure else f"perhaps {words}"


def _about(status: BatchStatus, jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    runner = status.runner
    best = status.best()
    return {
        "name": status.name,
        "folder": status.folder,
        "state": status.state,
        "sentence": _sentence(status, jobs),
        "runner": {"pid": runner.get("pid"), "host": runner.get("host")} if runner else None,
        "best": None if best is None else best.to_json(),
        "created_at": status.created_at,
        "note": status.note,
        "tags": list(status.tags),
        "count": len(jobs),
    }


def _sentence(status: BatchStatus, jobs: Sequence[Mapping[str, Any]]) -> str:
    """`12 of 20 jobs completed, 1 failed, 2 running. Best val/loss 1.8 (b). The running jobs need about 12 min.`"""
    words = [f"{count(len(jobs), 'job')}: {status.counts()}."]
    if best := status.best():
        words.append(f"Best {plain(best.metric)} {number(best.value)} ({plain(best.job)}).")
    left = [job["left"] for job in jobs if job.get("left")]
    if left:
        words.append(f"The running jobs need about {duration(max(left))}.")
    return " ".join(words)


def _settings(plan: Plan) -> dict[str, Any]:
    """The settings in which the jobs differ, as columns."""
    columns = comparison.varied(plan.jobs)
    return {"settings": [{"name": column.heading, "cells": list(column.cells)} for column in columns]}


def details(plan: Plan, job: Job) -> dict[str, Any]:
    """What is planned of one job, and the files in its folder."""
    shown = (*plan.options.not_secret, *job.not_secret)
    return {
        "name": job.name,
        "folder": str(job.out_dir),
        "command": redact.argv(job.argv, shown),
        "config": {key: str(value) for key, value in redact.mapping(job.config, shown).items()},
        "changes": {key: [str(old), str(new)] for key, (old, new) in _changes(job, shown).items()},
        "files": _files(job),
    }


def _changes(job: Job, shown: Sequence[str]) -> dict[str, tuple[Any, Any]]:
    old, new = ({key: pair[side] for key, pair in job.changes.items()} for side in (0, 1))
    hidden_old, hidden_new = redact.mapping(old, shown), redact.mapping(new, shown)
    return {key: (hidden_old.get(key), hidden_new.get(key)) for key in job.changes}


def _files(job: Job) -> list[dict[str, Any]]:
    try:
        with os.scandir(job.out_dir) as found:
            files = [(entry.name, entry.stat(follow_symlinks=False)) for entry in found]
    except OSError:
        return []
    return [{"name": name, "size": about.st_size, "time": about.st_mtime} for name, about in sorted(files)[:1000]]
