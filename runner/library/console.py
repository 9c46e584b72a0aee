"""Observer of the engine for the library: what a person reads while configs are computed, on one stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from runner.core.printing import say, silence
from runner.core.program import pasted
from runner.core.state import COMPLETED, INTERRUPTED, PENDING, Finished, Record
from runner.core.text import count, duration, listed, plain, shown
from runner.disk.layout import ERROR_DETAILS, JobPaths
from runner.engine.events import BatchEnded, Event, JobEnded, JobStarted, JobWaiting, Notice
from runner.observers.batch_state import BatchState

CAUSE_WIDTH = 400
LISTED = 10  # names in a sentence


class Console:
    """A line when a config starts and one when it ends. `logs`: each has a log that can be followed."""

    def __init__(self, stream: TextIO, *, logs: bool = False) -> None:
        self.state = BatchState()
        self._stream = stream
        self._logs = logs

    def print(self, text: str) -> None:
        """One line for the user."""
        try:
            say(text, file=self._stream, flush=True)
        except (OSError, ValueError):  # nobody reads it any more; the work continues
            silence(self._stream)

    def __call__(self, event: Event) -> None:
        self.state.apply(event)
        match event:
            case JobStarted(record):
                out_dir = record.job.out_dir
                where = pasted(["tail", "-f", shown(JobPaths(out_dir).combined)]) if self._logs else shown(out_dir)
                self.print(f"{record.job.name}: started, {where}")
            case JobEnded(record) if not record.cached:  # those are one number at the end: there may be thousands
                self._print_end(record)
            case JobWaiting(job, reason) if reason:
                self.print(f"{job.name}: waiting: {reason}")
            case Notice(text) if self._logs:  # in this process Ctrl+C has ended the config: nothing is waited for
                self.print(text.replace(" (--grace)", ""))  # an option of batches
            case BatchEnded(records):
                self._print_report(records)

    def _print_end(self, record: Record) -> None:
        assert isinstance(record.state, Finished)
        cause = record.state.outcome.error
        text = f"[{self.state.ended}/{self.state.total}] {record.job.name}: {record.status}"
        if record.status == COMPLETED:
            text += f" in {duration(record.state.seconds)}"
        elif cause and record.status != INTERRUPTED:
            text += f": {plain(cause, CAUSE_WIDTH)}"
        self.print(text)

    def _print_report(self, records: Sequence[Record]) -> None:
        by_kind = {
            "computed": sum(record.status == COMPLETED and not record.cached for record in records),
            "from the cache": sum(record.cached for record in records),
            "interrupted": sum(record.status == INTERRUPTED for record in records),
            "not started": sum(record.status == PENDING for record in records),
        }
        by_kind["failed"] = len(records) - sum(by_kind.values())
        kinds = ", ".join(f"{number} {kind}" for kind, number in by_kind.items() if number)
        self.print(f"{count(len(records), 'config')} in {duration(self.state.elapsed)}: {kinds or 'none'}.")
        for record in records:
            trace = record.job.out_dir / ERROR_DETAILS
            if isinstance(record.state, Finished) and record.status not in (COMPLETED, INTERRUPTED) and trace.exists():
                self.print(f"✗ {record.job.name}: {shown(trace)}")
        left = [record.job.name for record in records if record.status in (INTERRUPTED, PENDING)]
        if left:
            self.print(f"Left to do: {listed(left, LISTED)}. Start the script again to continue.")
