"""Observer of the engine for the library: what a person reads while configs are computed, on one stream."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TextIO

from runner.core.job import Job, Plan
from runner.core.state import COMPLETED, INTERRUPTED, Finished, Record
from runner.core.text import count, duration, plain, shown
from runner.disk.layout import ERROR_DETAILS, JobPaths
from runner.engine.progress import Progress
from runner.observers.plain import silence

CAUSE_WIDTH = 400


class Console:
    """A line when a config begins and one when it ends. `logs`: each has a log that can be followed."""

    def __init__(self, stream: TextIO, *, logs: bool = False) -> None:
        self._stream = stream
        self._logs = logs
        self._number = 0
        self._total = 0
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        try:
            print(plain(text), file=self._stream, flush=True)
        except (OSError, ValueError):  # nobody reads it any more; the work goes on
            silence(self._stream)

    def began(self, plan: Plan) -> None:
        self._total = len(plan.jobs)

    def started(self, record: Record) -> None:
        job = record.job
        where = f"tail -f {shown(JobPaths(job.out_dir).combined)}" if self._logs else shown(job.out_dir)
        self.say(f"{job.name}: started, {where}")

    def progressed(self, job: Job, progress: Progress, lines: Sequence[str]) -> None:
        """The function prints for itself, or into its log."""

    def finished(self, record: Record) -> None:
        assert isinstance(record.state, Finished)
        self._number += 1
        if record.cached:
            return  # told as one number at the end: there may be thousands
        cause = record.state.outcome.error
        text = f"[{self._number}/{self._total}] {record.job.name}: {record.status}"
        if record.status == COMPLETED:
            text += f" in {duration(record.state.seconds)}"
        elif cause and record.status != INTERRUPTED:
            text += f": {plain(cause, CAUSE_WIDTH)}"
        self.say(text)

    def notice(self, text: str) -> None:
        if self._logs:  # in this process Ctrl+C has ended the config already: there is nothing to wait for
            self.say(text.replace(" (--grace)", ""))  # an option of batches

    def tick(self) -> None:
        """Nothing is drawn."""

    def ended(self, records: Sequence[Record], stopped: str | None) -> None:
        by_kind = {
            "computed": sum(record.status == COMPLETED and not record.cached for record in records),
            "from the cache": sum(record.cached for record in records),
            "interrupted": sum(record.status == INTERRUPTED for record in records),
            "not begun": sum(record.status == "pending" for record in records),
        }
        by_kind["failed"] = len(records) - sum(by_kind.values())
        said = ", ".join(f"{number} {kind}" for kind, number in by_kind.items() if number)
        self.say(f"{count(len(records), 'config')} in {duration(time.monotonic() - self._began)}: {said or 'none'}.")
        for record in records:
            trace = record.job.out_dir / ERROR_DETAILS
            if isinstance(record.state, Finished) and record.status not in (COMPLETED, INTERRUPTED) and trace.exists():
                self.say(f"✗ {record.job.name}: {shown(trace)}")
        left = [record.job.name for record in records if record.status in (INTERRUPTED, "pending")]
        if left:
            more = f" and {len(left) - 10} more" if len(left) > 10 else ""
            self.say(f"Left to do: {', '.join(left[:10])}{more}. Start it again to go on.")
