"""Observer of the engine for a terminal: lines that scroll by above a live table of the jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Group
from rich.table import Table
from rich.text import Text

from runner.core.job import Plan
from runner.core.program import offered
from runner.core.state import COMPLETED, INTERRUPTED, PENDING, PRUNED, RUNNING, Record, Running
from runner.core.text import plain
from runner.engine.events import BatchEnded, BatchStarted, Event
from runner.observers import live_table
from runner.observers.batch_state import NO_PROGRESS
from runner.observers.display import Display
from runner.observers.plain import Lines
from runner.observers.registry import ObserverContext
from runner.observers.signs import bar
from runner.reports.columns import GAP, Column
from runner.reports.ending import BAD, BEST, GOOD, WARNED

REFRESH = 0.25  # seconds between two drawings
STYLES = {RUNNING: "bold cyan", COMPLETED: "green", PRUNED: "dim green", PENDING: "dim", INTERRUPTED: "yellow"}
REST = "bright_black"  # of a bar
WARNED_STYLE = "yellow"  # a job with a warning, such as a loss that is NaN
LINE_STYLES = {BAD: "red", GOOD: "green", BEST: "bold green", WARNED: WARNED_STYLE}


def make(context: ObserverContext) -> Screen:
    """The entry of the registry."""
    return Screen(context.stream, verbose=context.verbose)


class Screen(Lines):
    """Lines that scroll by above a table of the jobs, which is drawn again at most four times a second.

    In the background of its terminal a heartbeat takes the place of the table.
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
            self._display.draw(self._area())

    def _print(self, text: str, *, warning: bool = False) -> None:
        style = WARNED_STYLE if warning else LINE_STYLES.get(text[:1], "")
        self._display.print(Text(self._signs(plain(text)), style=style))

    def _print_plan(self, plan: Plan) -> None:
        super()._print_plan(plan)
        self._print(f"Output of the jobs: {offered('tail', plan.root)}")  # no line for each start: the table shows it

    def _print_start(self, record: Record) -> None:
        if not self._display.visible():
            super()._print_start(record)

    def _size(self) -> tuple[int | None, int | None]:
        return self._display.width, self._display.height

    def _area(self) -> Group:
        """The table, and below it how far the batch is."""
        width, state = self._display.width, self.state
        names = live_table.visible(state, self._display.height - 4)
        drawn = set(names)
        hidden = [record for name, record in state.records.items() if name not in drawn]
        caption = live_table.caption(state, hidden)
        room = min(width - len(caption) - GAP, live_table.MOST_BATCH_BAR)
        below = Text(caption)
        if room >= live_table.LEAST_BAR:
            below = Text.assemble(self._bar(state.fraction, room, "cyan"), " " * GAP, caption)
        below.truncate(width * 2)
        return Group(self._table(names, width), below)

    def _table(self, names: Sequence[str], width: int) -> Table:
        drawn = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
        fitted = live_table.table(self.state, names, width).columns
        for column in fitted:
            side = "right" if column.right else "left"
            drawn.add_column(Text(self._signs(column.heading)), justify=side, no_wrap=True, width=column.width)  # type: ignore[arg-type]
        fractions = live_table.fractions(self.state, names)
        for place, name in enumerate(names):
            record = self.state.records[name]
            cells = (self._cell(column, place, record, fractions[place]) for column in fitted)
            drawn.add_row(*cells, style="dim" if record.status == PENDING else "")
        return drawn

    def _cell(self, column: Column, place: int, record: Record, fraction: float | None) -> Text:
        if column.heading == live_table.BAR:
            return Text() if fraction is None else self._bar(fraction, column.width, self._style(record))
        return Text(self._signs(column.cells[place]), style=self._style(record) if column.heading == "state" else "")

    def _bar(self, fraction: float, width: int, style: str) -> Text:
        done, rest = bar(fraction, width)
        return Text.assemble((self._signs(done), style), (self._signs(rest), REST))

    def _style(self, record: Record) -> str:
        progress = self.state.progress.get(record.job.name, NO_PROGRESS)
        running = isinstance(record.state, Running) and not progress.finite
        warned = record.status == COMPLETED and record.warnings
        return WARNED_STYLE if running or warned else STYLES.get(record.status, "red")
