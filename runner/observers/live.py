"""Observer of the engine for a terminal: lines that scroll by above a live table of the jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TextIO

from rich.table import Table
from rich.text import Text

from runner.core.state import COMPLETED, INTERRUPTED, PENDING, RUNNING, Finished, Record, Running
from runner.core.text import count, duration, plain
from runner.engine.events import BatchEnded, BatchStarted, Event
from runner.observers.batch_state import NO_PROGRESS
from runner.observers.display import Display
from runner.observers.plain import Lines
from runner.observers.registry import ObserverContext

REFRESH = 0.25  # seconds between two drawings
#: Columns and the room that each wants; the names take what is left.
WIDTHS = {"job": 0, "state": 11, "iter": 13, "loss": 8, "val loss": 8, "speed": 10, "elapsed": 12, "ETA": 12}
DROPPED = ("speed", "val loss", "elapsed", "ETA", "loss")  # on a narrow screen, in this order
GAP, LEAST_NAME, MOST_STATE = 2, 16, 40
STYLES = {RUNNING: "bold", COMPLETED: "green", PENDING: "dim", INTERRUPTED: "yellow"}
WARNED = "yellow"  # a job with a warning, such as a loss that is NaN
RANK = {RUNNING: 0, COMPLETED: 2, PENDING: 3}  # what is shown first when there are too many; failed ones are 1


def make(context: ObserverContext) -> Screen:
    """The entry of the registry."""
    return Screen(context.stream, verbose=context.verbose)


class Screen(Lines):
    """Lines that scroll by above a table of the jobs, which is drawn again at most four times a second.

    In the background of its terminal there is no table, and a heartbeat instead of it.
    """

    def __init__(self, stream: TextIO, *, verbose: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, verbose=verbose, clock=clock)
        self._display = Display(stream)
        self._next_draw = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, BatchEnded):
            self._display.close()
        super().__call__(event)
        if isinstance(event, BatchStarted):
            self._display.open()

    def _tick(self) -> None:
        if not self._display.visible():
            super()._tick()
        elif self._clock() >= self._next_draw:
            self._next_draw = self._clock() + REFRESH
            self._display.draw(self._table())

    def _print(self, text: str, *, warning: bool = False) -> None:
        style = WARNED if warning else {"✗": "red", "✓": "green", "!": WARNED}.get(text[:1], "")
        self._display.print(Text(plain(text), style=style))

    def _table(self) -> Table:
        columns, name_width = self._columns(self._display.width)
        table = Table(box=None, pad_edge=False, header_style="dim", caption=self._caption(), caption_justify="left")
        for heading in columns:
            width = {"job": name_width, "state": self._state_width()}.get(heading)
            side: Literal["left", "right"] = "left" if heading in ("job", "state") else "right"
            table.add_column(heading, justify=side, no_wrap=True, overflow="ellipsis", max_width=width)
        caption_rows = 1 + len(self._caption()) // max(self._display.width, 1)
        for name in self._visible(max(self._display.height - 3 - caption_rows, 1)):
            record = self.state.records[name]
            cells = (Text(plain(cell)) for cell in map(self._row(record).__getitem__, columns))
            table.add_row(*cells, style=self._style(record))
        return table

    def _style(self, record: Record) -> str:
        progress = self.state.progress.get(record.job.name, NO_PROGRESS)
        running = isinstance(record.state, Running) and not progress.finite
        warned = record.status == COMPLETED and record.warnings
        return WARNED if running or warned else STYLES.get(record.status, "red")

    def _columns(self, width: int) -> tuple[list[str], int]:
        """The columns that fit, and what is left for the names: the least important go first."""
        longest = max((len(plain(name)) for name in self.state.records), default=0)
        widths = {**WIDTHS, "state": self._state_width()}
        columns = list(widths)
        for dropped in (*DROPPED, None):
            room = width - sum(widths[heading] + GAP for heading in columns if heading != "job")
            if room >= min(longest, LEAST_NAME) or dropped is None:
                return columns, max(min(room, longest), 3)
            columns.remove(dropped)
        raise AssertionError("the last round returns")

    def _state_width(self) -> int:
        longest = max((len(_waiting(reason)) for reason in self.state.reasons.values() if reason), default=0)
        return max(WIDTHS["state"], min(longest, MOST_STATE, self._display.width // 2))

    def _visible(self, rows: int) -> list[str]:
        """Running jobs, then those that did not complete, then the latest completed, then the next to come."""
        records = self.state.records
        chosen = sorted(records, key=lambda name: RANK.get(records[name].status, 1))[:rows]  # sorted keeps the order
        return chosen if len(records) > rows else list(records)

    def _row(self, record: Record) -> dict[str, str]:
        name = record.job.name
        progress = self.state.progress.get(name, NO_PROGRESS)
        running = isinstance(record.state, Running)
        reason = self.state.reasons.get(name)
        spent = ""
        if isinstance(record.state, Finished):
            spent = duration(record.state.seconds)
        elif name in self.state.since:
            spent = duration(self.state.running_for(name))
        total = f"/{progress.total}" if progress.total else ""
        return {
            "job": name,
            "state": _waiting(reason) if reason else self._state(record),
            "iter": "" if progress.iteration is None else f"{progress.iteration}{total}",
            "loss": "" if progress.loss is None else f"{progress.loss:.4f}",
            "val loss": "" if progress.val_loss is None else f"{progress.val_loss:.4f}",
            "speed": f"{progress.speed:.3g} it/s" if progress.speed is not None and running else "",
            "elapsed": spent,
            "ETA": duration(rest) if running and (rest := self.state.remaining_of(name)) is not None else "",
        }

    def _state(self, record: Record) -> str:
        if record.job.name in self.state.skipped:
            return "skipped"
        phase = self.state.phase(record.job.name) if isinstance(record.state, Running) else ""
        return phase or record.status + (" !" if record.warnings else "")

    def _caption(self) -> str:
        state, rest = self.state, self.state.remaining()
        text = f"{state.ended} of {count(state.total, 'job')} ended, {duration(state.elapsed)}"
        return text + (f", about {duration(rest)} to go" if rest is not None else "")


def _waiting(reason: str) -> str:
    return f"waiting: {reason}"
