"""Submit jobs to Slurm, many with each call. Nothing is submitted twice without harm being excluded by the claims."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.disk import atomic
from runner.disk.place import Place
from runner.engine.protocols import Wait
from runner.executors import slurm_snapshot
from runner.executors.slurm_handle import Followed
from runner.slurm import commands, environment, nodes, script, submissions
from runner.slurm.request import SlurmRequest
from runner.slurm.submissions import Submission

ARRAY = 1000  # tasks of an array where the cluster does not say how many it takes
#: What sbatch says when it may take the jobs later.
LIMITS = ("limit", "MaxSubmit", "temporarily", "timed out", "did not answer")
PAUSE = 60.0  # seconds after a refusal that may pass
MOST_REFUSALS = 30  # of one submission, after which it is an error


class Submitter:
    """What is to be submitted, and what this process has submitted: `made`, and by the name of a job `known`."""

    def __init__(
        self, options: RunOptions, provenance: Callable[[Job], Mapping[str, Any]], pause: float = PAUSE
    ) -> None:
        self.made: list[Submission] = []
        self.known: dict[str, tuple[Submission, int]] = {}
        self._options = options
        self._provenance = provenance
        self.waiting: dict[Followed, None] = {}
        self._pause = min(PAUSE, 2 * pause)
        self._not_before = 0.0
        self._refusals = 0
        self._reason = ""
        self._largest: int | None = None
        self._submitted: set[str] = set()  # names of jobs that this process submitted before: a requeue, not a user
        self._code: dict[Path, tuple[Path, Path] | None] = {}

    def add(self, handle: Followed) -> None:
        self.waiting[handle] = None

    def withdraw(self, handles: Iterable[Followed]) -> None:
        """Do not submit these."""
        for handle in handles:
            if handle in self.waiting:
                del self.waiting[handle]
                handle.withdrawn()

    def waits(self) -> Wait | None:
        """Why nothing more is submitted now; None if it is."""
        return Wait(self._reason) if self._reason and time.monotonic() < self._not_before else None

    def flush(self) -> bool:
        """Submit what was added, one array for each request and each MaxArraySize tasks; True if jobs still wait."""
        while self.waiting and time.monotonic() >= self._not_before:
            if not self._submit(self._next_chunk()):
                break
        return bool(self.waiting)

    def _next_chunk(self) -> list[Followed]:
        """The first jobs with one request that fit into an array. Pilots run all of them."""
        first = next(iter(self.waiting))
        request = self._request(first.job)
        fresh = self._is_fresh(first.job)
        alike = (
            one for one in self.waiting
            if self._options.slurm_pilots or (self._request(one.job) == request and self._is_fresh(one.job) == fresh)
        )  # fmt: skip
        most = len(self.waiting) if self._options.slurm_pilots else self._most()
        return [one for one, _ in zip(alike, range(most), strict=False)]

    def _request(self, job: Job) -> SlurmRequest:
        return SlurmRequest.of(self._options, {} if self._options.slurm_pilots else job.config)

    def _is_fresh(self, job: Job) -> bool:
        return job.name not in self._submitted

    def _most(self) -> int:
        if self._largest is None:
            found = commands.setting("MaxArraySize")
            self._largest = int(found) if found and found.isdecimal() and int(found) > 0 else ARRAY
        return min(self._largest, self._options.slurm_max_submit)

    def _submit(self, handles: Sequence[Followed]) -> bool:
        """Submit one chunk; False if Slurm takes nothing more for now."""
        root = Path(Place.of_job(handles[0].job).root)
        submission = self._written(root, handles)
        answer = self._called(root, submission)
        if answer.code != 0:
            if not _is_unclear(answer):
                submissions.forget(root, submission)
            return self._refused(handles, answer.why)
        submission = replace(submission, slurm_id=answer.out)
        submissions.write(root, submission)
        self.made.append(submission)
        self._refusals, self._reason = 0, ""
        for index, handle in enumerate(handles):
            del self.waiting[handle]
            self._submitted.add(handle.job.name)
            self.known[handle.job.name] = (submission, index)
            if submission.pilots:
                handle.bind_to_pilots(submission)
            else:
                handle.bind(submission, index)
        return True

    def _written(self, root: Path, handles: Sequence[Followed]) -> Submission:
        """The files of a submission, the intent last."""
        number = submissions.next_number(root)
        submission = Submission(number, tuple(handle.job.name for handle in handles), pilots=self._options.slurm_pilots)
        request = self._request(handles[0].job)
        if bad := nodes.bad(root):
            request = replace(request, words=excluding(request.words, [*bad]))
        tasks = self._options.slurm_pilots or len(handles)
        text = script.text(
            root, number, submission.comment, self._options, request, tasks=tasks, cwd=handles[0].job.cwd
        )
        about: dict[str, tuple[int, Mapping[str, Any]]] = {}
        jobs = []
        for handle in handles:
            found = self._provenance(handle.job)
            index, _ = about.setdefault(json.dumps(found, sort_keys=True, default=str), (len(about), found))
            jobs.append((handle.job, index))
        project, code = self._snapshot(root, handles[0].job.cwd) or (None, None)
        header: dict[str, Any] = {
            "project": str(project) if project else None,
            "code": str(code) if code else None,
            "options": self._options.to_json(),
            "comment": submission.comment,
            "fresh": self._is_fresh(handles[0].job),
            "about": [found for _, found in about.values()],
        }
        submissions.write_inputs(root, number, text, header, jobs)
        submissions.write(root, submission)
        return submission

    def _snapshot(self, root: Path, cwd: Path) -> tuple[Path, Path] | None:
        """The project around a folder and its copy, made once; None if the jobs run the project itself."""
        if self._options.slurm_snapshot == "off":
            return None
        if cwd not in self._code:
            self._code[cwd] = slurm_snapshot.taken(root, cwd)
        return self._code[cwd]

    def conclude(self, root: Path, arrays: Sequence[str]) -> str:
        """Submit the job that comes after these arrays; why Slurm refused it, empty if it did not."""
        place = submissions.folder(root) / "summary.sh"
        place.parent.make()
        atomic.write_bytes(place, script.concluding(root, self._options, arrays).encode())
        env = environment.of_submission(os.environ, self._options.slurm_export)
        before = [line.slurm_id for line in commands.queue(script.summary_name(root.name)) or () if line.waits]
        answer = commands.submit(Path(place), [], env)
        if answer.code == 0:
            commands.cancel(before)  # of an earlier call: two would notify twice
        return "" if answer.code == 0 else answer.why

    def _called(self, root: Path, submission: Submission) -> commands.Answer:
        """Call sbatch. Without an answer it may have submitted: the queue is asked before it is called again."""
        env = environment.of_submission(os.environ, self._options.slurm_export)
        answer = commands.submit(submissions.script(root, submission.number), [], env)
        if answer.code == 0 or not _is_unclear(answer):
            return answer
        deadline = time.monotonic() + self._pause
        while True:
            for line in commands.queue(script.job_name(root.name)) or ():
                if line.comment == submission.comment:
                    return commands.Answer(0, line.slurm_id.partition("_")[0], "")
            if time.monotonic() > deadline:
                return answer
            time.sleep(min(5.0, self._pause / 5))

    def _refused(self, handles: Sequence[Followed], why: str) -> bool:
        """Wait, where the reason may pass; else the jobs end with it."""
        self._refusals += 1
        passes = any(word.casefold() in why.casefold() for word in LIMITS)
        if passes and self._refusals <= MOST_REFUSALS:
            self._not_before = time.monotonic() + self._pause
            self._reason = f"Slurm takes no more jobs now ({why})"
            if self._largest and self._largest > 1 and "limit" in why:
                self._largest = max(1, len(handles) // 2)
            return False
        for handle in handles:
            del self.waiting[handle]
            handle.refuse(f"sbatch refused it: {why}")
        return True

    def with_id(self, root: Path, submission: Submission, found: str | None) -> Submission | None:
        """A submission of an earlier process with its id, which may be known from the queue only; None without one."""
        if submission.slurm_id:
            return submission
        if found is None:
            return None
        submission = replace(submission, slurm_id=found)
        submissions.write(root, submission)
        return submission


def excluding(words: Sequence[str], bad: Sequence[str]) -> tuple[str, ...]:
    """The options of sbatch with these nodes left out, besides those that the user leaves out."""
    option = "--exclude="
    given = [word.removeprefix(option) for word in words if word.startswith(option)]
    others = [word for word in words if not word.startswith(option)]
    return (*others, option + ",".join([*given, *bad]))


def _is_unclear(answer: commands.Answer) -> bool:
    was_killed = answer.code is None or answer.code < 0
    return was_killed or "timed out" in answer.error.casefold()
