"""Which trials of a search end early. Decided from recorded events alone, so that each decision can be repeated. Pure.

Levels are amounts of the resource, such as iterations. A trial gets to a level when it first reports the metric there;
its value at the level is the best that it has reported until then.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from runner.core.fields import Fields
from runner.search.space import ASHA, NONE, Search

#: What an event says. A trial got to a level, and goes on; or stops there; or had already ended when that was seen.
CONTINUE, STOP, PASSED = "continue", "stop", "passed"
PROMOTE = "promote"  # a trial that had stopped at a level goes on
#: A trial ended. One that failed is not compared any more; one that was stopped may be promoted.
COMPLETED, FAILED, STOPPED = "completed", "failed", "stopped"
AT_LEVEL, ENDS = (CONTINUE, STOP, PASSED, PROMOTE), (COMPLETED, FAILED, STOPPED)
LEAST_COMPLETED = 5  # trials whose median says something


@dataclass(frozen=True, slots=True)
class Event:
    """One line of rungs.jsonl. `level` is None for a trial that ended; then `used` is the resource that it took."""

    trial: int
    decision: str
    level: float | None = None
    value: float | None = None
    used: float | None = None

    def to_json(self) -> dict[str, Any]:
        entries = {"trial": self.trial, "decision": self.decision, "level": self.level, "value": self.value,
                   "used": self.used}  # fmt: skip
        return {key: value for key, value in entries.items() if value is not None}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Raises ValueError for what is not an event."""
        fields = Fields(record)
        decision = fields.text("decision")
        if decision not in (*AT_LEVEL, *ENDS):
            raise fields.odd("decision", "one of " + ", ".join((*AT_LEVEL, *ENDS)))
        level, value, used = (fields.number(key, None) for key in ("level", "value", "used"))
        if decision in AT_LEVEL and (level is None or value is None):
            raise fields.odd("level", "a level, with a value")
        return cls(fields.whole("trial", least=0), decision, level, value, used)


def levels(search: Search) -> Iterator[float]:
    """Where trials are compared, in rising order: those of ASHA grow by the reduction factor, others are even."""
    if search.pruner == NONE:
        return
    last = float("inf") if search.max_resource is None else search.max_resource
    for number in itertools.count():
        factor = search.reduction_factor**number if search.pruner == ASHA else number + 1
        if (level := search.min_resource * factor) >= last:
            return
        yield level


class Rungs:
    """The events of a search so far, and what follows from them."""

    def __init__(self, search: Search, events: Iterable[Event] = ()) -> None:
        self._search = search
        self.events: list[Event] = []
        self.values: dict[float, dict[int, float]] = {}  # level -> trial -> its value, of those that are compared
        self._last: dict[int, Event] = {}  # of each trial, without its own end
        self._promoted: set[int] = set()
        self.used: dict[int, float] = {}  # trial -> the resource that it took
        self.completed: dict[int, float | None] = {}  # trial -> its value
        self.failed: set[int] = set()
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take over an event. A trial that failed and is run again counts again."""
        self.events.append(event)
        self.failed.discard(event.trial)
        if event.used is not None:
            self.used[event.trial] = event.used
        if event.decision == COMPLETED:
            self.completed[event.trial] = event.value
        elif event.decision == FAILED:
            self.failed.add(event.trial)
        elif event.decision == PROMOTE:
            self._promoted.add(event.trial)
        if event.decision in AT_LEVEL and event.level is not None and event.value is not None:
            self.values.setdefault(event.level, {}).setdefault(event.trial, event.value)
            self._last[event.trial] = event

    def stopped_at(self, trial: int) -> Event | None:
        """The event by which a trial is to stop, or has stopped; None for one that may run."""
        event = self._last.get(trial)
        return event if event is not None and event.decision == STOP else None

    def to_start(self) -> list[int]:
        """The trials that were promoted, and have not ended since."""
        found: dict[int, bool] = {}
        for event in self.events:
            if event.decision in (PROMOTE, *ENDS):
                found[event.trial] = event.decision == PROMOTE
        return [trial for trial, promoted in found.items() if promoted]

    def next_level(self, trial: int) -> float | None:
        """The first level that a trial has not got to."""
        reached = [level for level, values in self.values.items() if trial in values]
        return next((level for level in levels(self._search) if level > max(reached, default=-1.0)), None)

    def arrival(self, trial: int, level: float, value: float) -> Event:
        """What follows for a trial that runs and gets to a level."""
        others = self._compared(level, without=trial)
        better = sum(self._key(other) < self._key(value) for other in others.values())
        if self._search.pruner == ASHA:
            most = (len(others) + 1) // self._search.reduction_factor
            stays = better < (most if self._search.promote else max(most, 1))
            stays = stays or (trial in self._promoted and not self._search.promote)
        else:
            done = [self._key(other) for number, other in others.items() if number in self.completed]
            stays = better == 0 or trial in self._promoted or len(done) < LEAST_COMPLETED
            stays = stays or self._key(value) <= statistics.median(done)
        return Event(trial, CONTINUE if stays else STOP, level, value)

    def promotion(self) -> Event | None:
        """The stopped trial that is to go on: at the highest level that has one among its best."""
        if not self._search.promote:
            return None
        for level in sorted(self.values, reverse=True):
            ranked = self._ranked(level)
            for trial in ranked[: len(ranked) // self._search.reduction_factor]:
                if self._stands_at(trial, level):
                    return Event(trial, PROMOTE, level, self.values[level][trial])
        return None

    def rescue(self) -> Event | None:
        """The best of the stopped trials that got furthest, if none has completed, or all that did are worse.

        So never are all pruned, nor the best.
        """
        done = [self._key(value) for value in self.completed.values() if value is not None]
        for level in sorted(self.values, reverse=True):
            for trial in self._ranked(level):
                value = self.values[level][trial]
                if self._stands_at(trial, level) and (not done or self._key(value) < min(done)):
                    return Event(trial, PROMOTE, level, value)
        return None

    def _stands_at(self, trial: int, level: float) -> bool:
        event = self.stopped_at(trial)
        return event is not None and event.level == level and trial not in self.completed

    def _ranked(self, level: float) -> list[int]:
        """The trials at a level, the best first; of equal ones the earlier."""
        values = self._compared(level)
        return sorted(values, key=lambda trial: (self._key(values[trial]), trial))

    def _compared(self, level: float, without: int | None = None) -> dict[int, float]:
        found = self.values.get(level, {})
        return {trial: value for trial, value in found.items() if trial not in self.failed and trial != without}

    def _key(self, value: float) -> float:
        return value if self._search.goal == "min" else -value

    def table(self) -> list[dict[str, Any]]:
        """Each level with its trials, how many of them stopped there, and the best value."""
        return [self._row(level) for level in sorted(self.values)]

    def _row(self, level: float) -> dict[str, Any]:
        values = self.values[level]
        return {
            "resource": level,
            "trials": len(values),
            "stopped": sum(self._stands_at(trial, level) for trial in values),
            "best": min(values.values(), key=self._key),
        }


def repeated(search: Search, events: Iterable[Event]) -> list[tuple[Event, Event | None]]:
    """Each recorded decision that the events before it do not lead to, with what they lead to."""
    rungs, found = Rungs(search), list[tuple[Event, Event | None]]()
    for event in events:
        again: Event | None = event
        if event.decision in (CONTINUE, STOP) and event.level is not None and event.value is not None:
            again = rungs.arrival(event.trial, event.level, event.value)
        elif event.decision == PROMOTE:
            again = rungs.promotion() or rungs.rescue()
        if again != event:
            found.append((event, again))
        rungs.add(event)
    return found
