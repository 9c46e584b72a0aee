"""An observer that writes the names of all events to a file, and one that fails."""

from __future__ import annotations

import os

from runner.engine.events import Event, JobEnded, JobWaiting, Tick
from runner.observers.registry import ObserverContext


class EventLog:
    """A line for each event, in the file $EVENTS."""

    def __init__(self, context: ObserverContext) -> None:
        self._file = open(os.environ["EVENTS"], "a", buffering=1)  # noqa: SIM115, PTH123 - for the whole batch

    def __call__(self, event: Event) -> None:
        if isinstance(event, JobWaiting):
            print("JobWaiting", event.reason, file=self._file)
        elif isinstance(event, JobEnded):
            print("JobEnded", event.record.job.name, event.record.status, file=self._file)
        elif not isinstance(event, Tick):
            print(type(event).__name__, file=self._file)


class Broken:
    def __init__(self, context: ObserverContext) -> None:
        pass

    def __call__(self, event: Event) -> None:
        raise ZeroDivisionError("an error of the plugin")
