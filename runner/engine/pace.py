"""Iterations per second, from the latest iterations: a slow start and an earlier speed do not count. Pure."""

from __future__ import annotations

from collections import deque

WINDOW = 60.0  # seconds of which the speed is taken at least; of a long training a third of its time
STEPS = 100  # positions that are kept of a window
SURE = 0.5  # seconds; over a shorter time a speed is chance


class Pace:
    """Takes the position of a job whenever it is looked at. Times in seconds of any clock."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._first: float | None = None  # when the first position came: before it, and until the next, it started up
        self._whole = True  # the first position is still in the window

    def add(self, moment: float, iteration: int) -> None:
        """A position that was seen at this time. What is not ahead of the last one says nothing."""
        if self._seen and iteration <= self._seen[-1][1]:
            return
        if self._first is None:
            self._first = moment
        window = max(WINDOW, (moment - self._first) / 3)
        if len(self._seen) > 2 and moment - self._seen[-2][0] < window / STEPS:
            self._seen.pop()  # close together: only the latest is of use
        self._seen.append((moment, iteration))
        while len(self._seen) > 3 and moment - self._seen[1][0] >= window:
            self._seen.popleft()
            self._whole = False

    @property
    def speed(self) -> float | None:
        """Iterations per second; None as long as too little is known."""
        if len(self._seen) < 2:
            return None
        began, first = self._seen[1 if self._whole and len(self._seen) > 3 else 0]
        ended, last = self._seen[-1]
        return (last - first) / (ended - began) if ended - began > SURE else None
