"""When a message is sent: failures are gathered, so that 500 of them in a second are two messages. Pure."""

from __future__ import annotations

from collections.abc import Collection

from runner.notify.message import GATHERED, Event

PAUSES = (60.0, 600.0)  # seconds before the second message, and before each later one
HOUR, MOST = 3600.0, 6  # messages in an hour at most, beside the last one
ATTENDED = 120.0  # seconds of a batch on a terminal in which the user sees for himself


class Gathering:
    """Events that wait for their message. Times are seconds of any clock that only grows.

    `known` are the keys of events that were reported before. Nothing is sent before `silent_until`.
    """

    def __init__(self, known: Collection[str] = (), silent_until: float = 0.0) -> None:
        self._known = set(known)
        self._waiting: list[Event] = []
        self._sent: list[float] = []
        self._silent_until = silent_until

    def add(self, event: Event) -> None:
        """Keep an event, unless it was reported."""
        if event.key not in self._known:
            self._known.add(event.key)
            self._waiting.append(event)

    @property
    def is_bad(self) -> bool:
        """Whether something that waits needs the user."""
        return any(event.bad for event in self._waiting)

    def next_at(self) -> float | None:
        """When a message is due; None while there is nothing to report."""
        if not self._waiting:
            return None
        at = self._silent_until
        if self._sent and all(event.kind in GATHERED for event in self._waiting):
            at = max(at, self._sent[-1] + PAUSES[min(len(self._sent), len(PAUSES)) - 1])
        if len(self._sent) >= MOST:
            at = max(at, self._sent[-MOST] + HOUR)
        return at

    def take(self, now: float) -> list[Event]:
        """What is due now, for one message."""
        at = self.next_at()
        if at is None or now < at:
            return []
        self._sent.append(now)
        return self.rest()

    def rest(self) -> list[Event]:
        """All that waits, for the last message."""
        found, self._waiting = self._waiting, []
        return found
