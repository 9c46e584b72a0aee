"""Observer of the engine for a terminal: lines that scroll by above a live table of the jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from runner.core.job import Plan
from runner.core.state import COMPLETED, INTERRUPTED, Finished, Record, Running
from runner.core.text import count, duration, plain
from runner.engine.progress import Progress
from runner.observers.plain import Lines, silence

REFRESH = 0.25  # seconds between two drawings
#: Columns and the room that each wants; the names take what is left.
WIDTHS = {"job": 0, "state": 11, "iter": 13, "loss": 8, "val loss": 8, "speed": 10, "elapsed": 12, "ETA": 12}
DROPPED = ("speed", "val loss", "elapsed", "ETA", "loss")  # on a narrow screen, in this order
GAP, LEAST_NAME = 2, 16
STYLES = {"running": "bold", COMPLETED: "green", "pending": "dim", INTERRUPTED: "yellow"}
RANK = {"running": 0, COMPLETED: 2, "pending": 3}  # what is shown first when there are too many; failed ones are 1


class Screen(Lines):
    """Lines that scroll by above a table of the jobs, which is drawn again at most four times a second."""

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        super().__init__(stream, verbose=verbose)
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
        columns, name_width = self._columns(self._console.size.width)
        table = Table(box=None, pad_edge=False, header_style="dim", caption=self._caption(), caption_justify="left")
        for heading in columns:
            width = name_width if heading == "job" else None
            side: Literal["left", "right"] = "left" if heading in ("job", "state") else "right"
            table.add_column(heading, justify=side, no_wrap=True, overflow="ellipsis", max_width=width)
        caption_rows = 1 + len(self._caption()) // max(self._console.size.width, 1)
        for name in self._visible(max(self._console.size.height - 3 - caption_rows, 1)):
            record = known.records[name]
            cells = (Text(plain(cell)) for cell in map(self._row(record).__getitem__, columns))
            table.add_row(*cells, style=STYLES.get(record.status, "red"))
        return table

    def _columns(self, width: int) -> tuple[list[str], int]:
        """The columns that fit, and what is left for the names: the least important go first."""
        longest = max((len(plain(name)) for name in self._known.records), default=0)
        columns = list(WIDTHS)
        for dropped in (*DROPPED, None):
            room = width - sum(WIDTHS[heading] + GAP for heading in columns if heading != "job")
            if room >= min(longest, LEAST_NAME) or dropped is None:
                return columns, max(min(room, longest), 3)
            columns.remove(dropped)
        raise AssertionError("the last round returns")

    def _visible(self, rows: int) -> list[str]:
        """Running jobs, then those that did not complete, then the newest completed, then the next to come."""
        records = self._known.records
        chosen = sorted(records, key=lambda name: RANK.get(records[name].status, 1))[:rows]  # sorted keeps the order
        return chosen if len(records) > rows else list(records)

    def _row(self, record: Record) -> dict[str, str]:
        name = record.job.name
        progress = self._known.progress.get(name, Progress())
        running = isinstance(record.state, Running)
        spent = ""
        if isinstance(record.state, Finished):
            spent = duration(record.state.seconds)
        elif running:
            spent = duration(time.monotonic() - self._known.since[name])
        total = f"/{progress.total}" if progress.total else ""
        return {
            "job": name,
            "state": record.status,
            "iter": "" if progress.iteration is None else f"{progress.iteration}{total}",
            "loss": "" if progress.loss is None else f"{progress.loss:.4f}",
            "val loss": "" if progress.val_loss is None else f"{progress.val_loss:.4f}",
            "speed": f"{progress.speed:.3g} it/s" if progress.speed is not None and running else "",
            "elapsed": spent,
            "ETA": duration(progress.remaining) if progress.remaining is not None and running else "",
        }

    def _caption(self) -> str:
        known = self._known
        rest = known.remaining()
        text = f"{known.ended} of {count(len(known.records), 'job')} ended, {duration(time.monotonic() - known.began)}"
        return text + (f", about {duration(rest)} to go" if rest is not None else "")
