"""Observer of the engine for a terminal: lines that scroll by above a live table of the jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from runner.job import Plan
from runner.progress import Progress
from runner.screen import Lines, silence
from runner.state import COMPLETED, INTERRUPTED, Finished, Record, Running
from runner.wording import count, duration, plain

REFRESH = 0.25  # seconds between two drawings
COLUMNS = ("job", "state", "iter", "loss", "val loss", "speed", "elapsed", "ETA")  # the first two are words
STYLES = {"running": "bold", COMPLETED: "green", "pending": "dim", INTERRUPTED: "yellow"}
RANK = {"running": 0, COMPLETED: 2, "pending": 3}  # what is shown first when there are too many; failed ones are 1


class Screen(Lines):
    """Lines that scroll by above a table of the jobs, which is drawn again at most four times a second."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._console = Console(file=stream, highlight=False)
        self._display = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._next_draw = 0.0

    def began(self, plan: Plan) -> None:
        super().began(plan)
        self._display.start()

    def tick(self) -> None:
        if time.monotonic() >= self._next_draw:
            self._next_draw = time.monotonic() + REFRESH
            self._guard(lambda: self._display.update(self._table(), refresh=True))

    def ended(self, records: Sequence[Record], stopped: str | None) -> None:
        self._guard(lambda: self._display.update(Text(""), refresh=True))
        self._guard(self._display.stop)
        super().ended(records, stopped)

    def _say(self, text: str) -> None:
        style = {"✗": "red", "✓": "green"}.get(text[:1], "")
        self._guard(lambda: self._console.print(Text(plain(text), style=style), soft_wrap=True))

    def _guard(self, draw: Callable[[], None]) -> None:
        try:
            draw()
        except (OSError, ValueError):
            silence(self._stream)

    def _table(self) -> Table:
        known = self._known
        table = Table(box=None, pad_edge=False, header_style="dim", caption=self._caption(), caption_justify="left")
        for number, heading in enumerate(COLUMNS):
            table.add_column(heading, justify="right" if number > 1 else "left", no_wrap=True, overflow="ellipsis")
        for name in self._visible(max(self._console.size.height - 4, 1)):
            record = known.records[name]
            table.add_row(*(Text(plain(cell)) for cell in self._row(record)), style=STYLES.get(record.status, "red"))
        return table

    def _visible(self, rows: int) -> list[str]:
        """Running jobs, then those that did not complete, then the newest completed, then the next to come."""
        records = self._known.records
        chosen = sorted(records, key=lambda name: RANK.get(records[name].status, 1))[:rows]  # sorted keeps the order
        return chosen if len(records) > rows else list(records)

    def _row(self, record: Record) -> list[str]:
        name = record.job.name
        progress = self._known.progress.get(name, Progress())
        spent = ""
        if isinstance(record.state, Finished):
            spent = duration(record.state.seconds)
        elif isinstance(record.state, Running):
            spent = duration(time.monotonic() - self._known.since[name])
        return [
            name,
            record.status,
            ""
            if progress.iteration is None
            else str(progress.iteration) + (f"/{progress.total}" if progress.total else ""),
            "" if progress.loss is None else f"{progress.loss:.4f}",
            "" if progress.val_loss is None else f"{progress.val_loss:.4f}",
            "" if progress.speed is None or record.status != "running" else f"{progress.speed:.3g} it/s",
            spent,
            duration(progress.remaining) if progress.remaining is not None and record.status == "running" else "",
        ]

    def _caption(self) -> str:
        known = self._known
        rest = known.remaining()
        text = f"{known.ended} of {count(len(known.records), 'job')} ended, {duration(time.monotonic() - known.began)}"
        return text + (f", about {duration(rest)} to go" if rest is not None else "")
