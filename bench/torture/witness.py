"""Observe a batch from outside and count its faults. Relies on nothing that the runner records about itself.

It reads the files of the batch again and again, the journal that the jobs write outside of it, and /proc. Uses nothing
of the runner's code but the names of its files.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner.disk.layout import ATTEMPT, METADATA, RESULT

FAULTS = {
    "lost": "results that were seen completed and are not any more",
    "unparsable": "JSON files that did not parse at some moment",
    "run again": "jobs that began again although their success was recorded",
    "overlapping": "attempts of one job that lived at once",
    "two runners": "second runners that were let into a batch that another one runs",
    "not kept": "attempts whose files are not there any more",
    "not durable": "records that were not synced before they were renamed, or whose folder was not synced then",
    "orphans": "jobs that outlived a supervisor that was killed, while nobody resumed",
    "started again": "jobs that began again although they lived on (--keep_running)",
    "none adopted": "runs with --keep_running in which no job was alive at a resume: a run that shows nothing",
    "none warm": "runs with --warm in which no job was a fork: a run that shows nothing",
    "strays": "processes that outlived their batch",
    "never ended": "runs that did not end in time",
    "crashed": "runs that ended with a traceback or an unknown exit code",
    "wrong": "records that differ from what happened",
    "left over": "partly written files that were not removed",
}


class Witness:
    """Watches one batch, in the folder where its runner is started. `faults` are sentences by kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal.jsonl"
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.completed: dict[str, float] = {}  # name of a job -> when its success was first seen on disk
        self._living: dict[int, str] = {}  # pid -> start time, of jobs that no runner may begin again
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._lost: set[str] = set()

    @property
    def batch(self) -> Path | None:
        """The folder of the batch, once it is planned."""
        return next((path.parent for path in sorted(self.folder.glob("experiments/*/plan.json"))), None)

    def accuse(self, kind: str, sentence: str) -> None:
        if sentence not in self.faults[kind]:
            self.faults[kind].append(sentence)

    def note_living(self, jobs: dict[int, str]) -> None:
        """Jobs (pid and start time) that live on under their supervisors, without an engine."""
        self._living |= jobs

    def forget_living(self) -> None:
        """Supervisors or jobs are killed: any job may begin again."""
        self._living.clear()

    def look(self) -> None:
        """Parse every record that has changed since the last look; notice what is no longer there."""
        for path in self._records():
            self._parse(path)
        for name in self.completed.keys() - self._lost:
            result = self.result(name)
            if result is None or result.get("status") != "completed":
                self._lost.add(name)
                self.accuse("lost", f"{name}: was completed, is {result.get('status') if result else 'gone'}")

    def _records(self) -> Iterator[Path]:
        for folder in (self.folder / "experiments").glob("experiment_*"):
            yield from folder.glob("*.json")
            yield from folder.glob("*/*.json")

    def _parse(self, path: Path) -> None:
        try:
            about = path.stat()
            if self._seen.get(str(path)) == (key := (about.st_ino, about.st_mtime_ns, about.st_size)):
                return
            text = path.read_bytes()
        except OSError:  # moved meanwhile
            return
        self._seen[str(path)] = key
        try:
            record = json.loads(text)
        except ValueError:
            self.accuse("unparsable", f"{path.relative_to(self.folder)}: {text[:60]!r}")
            return
        if path.name == RESULT and record.get("status") == "completed":
            self.completed.setdefault(path.parent.name, time.monotonic())

    def result(self, name: str) -> dict[str, Any] | None:
        """The result in a job's folder now."""
        try:
            found = json.loads(((self.batch or self.folder) / name / RESULT).read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def events(self) -> list[dict[str, Any]]:
        """The journal of the jobs."""
        try:
            return [json.loads(line) for line in self.journal.read_text().splitlines()]
        except FileNotFoundError:
            return []

    def check(self, expected: dict[str, str]) -> None:
        """The checks after the end of the batch; `expected` is the status that each job must have."""
        self.look()
        events = self.events()
        ended = {event["mark"] for event in events if event["event"] == "end" and event["code"] == 0}
        saved: dict[str, int] = {}
        for event in events:
            name = event["name"]
            match event["event"]:
                case "overlap":
                    self.accuse("overlapping", f"{name}: pid {event['pid']} began while {event['other']} lived")
                case "checkpoint":
                    saved[name] = event["step"]
                case "begin":
                    if event["at"] > self.completed.get(name, event["at"]):
                        self.accuse("run again", f"{name}: pid {event['pid']} began after its success was on disk")
                    if event["step"] < saved.get(name, 0):
                        self.accuse("wrong", f"{name}: began at step {event['step']}, had saved step {saved[name]}")
        self._check_living(events)
        self._check_kept(events)
        for name in expected:
            self._check_job(name, ended)
        self._check_end(expected)

    def _check_living(self, events: list[dict[str, Any]]) -> None:
        """No job may have begun again before the end of an attempt that lived on."""
        lives: dict[str, str] = {}  # name of a job -> mark of its attempt
        for event in events:
            name, mark = event["name"], event["mark"]
            match event["event"]:
                case "begin":
                    if name in lives:
                        self.accuse("started again", f"{name}: pid {event['pid']} began while an earlier attempt lived")
                    if self._living.get(event["pid"]) == event["start"]:
                        lives[name] = mark
                case "end" | "saved":
                    if lives.get(name) == mark:
                        del lives[name]

    def _check_kept(self, events: list[dict[str, Any]]) -> None:
        """Each attempt left a file of its own in its folder, which may have been archived since."""
        assert self.batch is not None
        for event in events:
            if event["event"] == "begin" and not any(self.batch.glob(f"{event['name']}/**/mark_{event['mark']}")):
                self.accuse("not kept", f"{event['name']}: the files of pid {event['pid']} are gone")

    def _check_job(self, name: str, ended: set[str]) -> None:
        assert self.batch is not None
        for path in self.batch.glob(f"{name}/**/{RESULT}"):
            result = json.loads(path.read_bytes())
            if result["status"] != "completed":
                continue
            mark = json.loads((path.parent / METADATA).read_bytes())["environment"]["RUNNER_JOB_ID"]
            if mark not in ended:
                self.accuse("wrong", f"{name}: completed is recorded in {path}, but its script did not reach its end")
            if path.parent.name.startswith(ATTEMPT):
                self.accuse("run again", f"{name}: {path.parent.name} was archived although it had completed")

    def _check_end(self, expected: dict[str, str]) -> None:
        assert self.batch is not None
        summary = json.loads((self.batch / "experiment_summary.json").read_bytes())
        counts = [summary[key] for key in ("completed", "failed", "errors", "interrupted", "pending")]
        if sum(counts) != summary["total_experiments"] or summary["total_experiments"] != len(expected):
            self.accuse("wrong", f"the summary's counts do not add up: {counts} of {summary['total_experiments']}")
        for name, status in expected.items():
            result = self.result(name) or {}
            summarized = summary["results"][name].get("status")
            if (result.get("status"), summarized) != (status, status):
                cause = f"result {result.get('status')}, summary {summarized}, must be {status}: {result.get('error')}"
                self.accuse("wrong", f"{name}: {cause}")
        for path in self.batch.glob("**/.*.tmp"):
            self.accuse("left over", str(path.relative_to(self.batch)))
