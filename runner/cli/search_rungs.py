"""The rungs of a search while it runs: where its trials are, which stop, which are promoted. Writes rungs.jsonl."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from runner.core.job import Job
from runner.core.state import COMPLETED, INTERRUPTED, PRUNED, Finished, Record
from runner.disk.rungs_file import RungsFile
from runner.reports.search import events, reached
from runner.search import pruning, space
from runner.search.curve import Curve
from runner.search.pruning import Event, Rungs
from runner.search.space import NONE, Search


class RunningRungs:
    """Of one search. Of trials that ended while no runner was there, `kept` has the records."""

    def __init__(self, root: Path, search: Search, kept: Iterable[Record]) -> None:
        self._search = search
        self.rungs = Rungs(search, events(root))
        self._curves: dict[int, Curve] = {}
        self._file = None if search.pruner == NONE else RungsFile(root)
        ended = {event.trial for event in self.rungs.events if event.decision in pruning.ENDS}
        for record in kept:
            if space.number(record.job.name) not in {*ended, None}:
                self.ended(record)

    def prunes(self, job: Job) -> str:
        """Why a trial that runs is to stop; empty if it may run."""
        number = space.number(job.name)
        if self._file is None or number is None:
            return ""
        self._follow(number, job)
        event = self.rungs.stopped_at(number)
        return "" if event is None else _reason(self._search, event)

    def ended(self, record: Record) -> None:
        """A trial ended, and is not tried again."""
        number = space.number(record.job.name)
        if self._file is None or number is None or not isinstance(record.state, Finished):
            return
        if record.status == INTERRUPTED:
            return
        self._follow(number, record.job, passed=True)
        words = {COMPLETED: pruning.COMPLETED, PRUNED: pruning.STOPPED}
        value = reached(record, self._search.metric, self._search.goal)
        used = self._curves.pop(number).at
        self._add(Event(number, words.get(record.status, pruning.FAILED), None, value, used))

    def starts_again(self, job: Job) -> None:
        """A trial is tried again, perhaps from its beginning: its metrics are read from the beginning, too."""
        self._curves.pop(space.number(job.name) or 0, None)

    def promoted(self, numbers: Collection[int | None], *, last: bool) -> int | None:
        """The stopped trial to start again: of these, which wait for their start, else by the rule, else at the end."""
        if self._file is None:
            return None
        if left := [number for number in self.rungs.to_start() if number in numbers]:
            return left[0]
        event = self.rungs.promotion() or (self.rungs.rescue() if last else None)
        if event is None:
            return None
        self._add(event)
        return event.trial

    def _follow(self, number: int, job: Job, *, passed: bool = False) -> None:
        """Read on in the metrics of a trial. `passed`: it has ended, and can stop nowhere."""
        curve = self._curves.get(number) or Curve(job.out_dir, self._search)
        self._curves[number] = curve
        for position, value in curve.advance():
            if self.rungs.stopped_at(number):  # what it still reports is read again if it is promoted
                return
            while (level := self.rungs.next_level(number)) is not None and position >= level:
                event = self.rungs.arrival(number, level, value)
                self._add(Event(number, pruning.PASSED, level, value) if passed else event)
                if self.rungs.stopped_at(number):
                    return

    def _add(self, event: Event) -> None:
        assert self._file is not None
        self.rungs.add(event)
        self._file.append(event.to_json())


def _reason(search: Search, event: Event) -> str:
    return f"{search.metric} {event.value:.6g} at {event.level:g} is not among the best there"
