"""A thread that reads what a job says of itself while it runs, and never makes the job or its logs wait for it.

The stream readers hand over their blocks, as many as HELD allows; older ones are dropped and counted if the job writes
faster than they are read. Of a flood the thread reads a thirtieth of the time only, in short slices. What it
understands becomes rows in parsed_metrics.jsonl, unless the job writes metrics.jsonl itself.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import allocate_lock
from collections import deque

from runner.disk.append_log import Log
from runner.disk.layout import METRICS, PARSED_METRICS, JobPaths
from runner.disk.place import Place
from runner.output import metric_files, rows
from runner.output.divergence import Divergence
from runner.output.lines import BUILT_IN, LineReader, Splitter
from runner.output.measurements import Measurements
from runner.output.position import Position
from runner.output.tail import Tail
from runner.processes.thread import Thread
from runner.supervisor import outcome

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

HELD = 1 << 21  # bytes of output that wait to be read at most; if more comes between two looks, it is a flood
AT_END = 0.5  # seconds that reading what waits may take when the job has ended, if nothing was left out before
LAST = 1 << 16  # bytes at the end of what waits that are read after that, and the least that waits of a flood
PAUSE = 0.2  # seconds between two looks at what has come
SLICE = 0.01  # seconds after which a look is interrupted: the stream readers share one interpreter lock with us
SHARE, SHARE_OF_FLOOD = 0.5, 0.03  # of the time that is spent on reading, and of a flood or once half of HELD waits
SWITCH = 0.0005  # seconds until a stream reader gets the interpreter lock from us; Python's own value is ten times that
QUIET = 2.0  # seconds without output until the metrics are looked at all the same
METRICS_AT_ONCE = 1 << 23  # bytes of metrics.jsonl that are read at one look
BAR_EVERY = 1.0  # seconds between two rows of a progress bar


class Measured:
    """What is known of a job's metrics, as its result has it."""

    __slots__ = ("best", "final", "skipped", "warnings")

    def __init__(
        self, final: dict[str, Any], best: dict[str, dict[str, Any]], warnings: list[str], skipped: int
    ) -> None:
        self.final = final
        self.best = best
        self.warnings = warnings
        self.skipped = skipped  # bytes of output and of metrics that were not read


class OutputReader(Thread):
    """Owns parsed_metrics.jsonl of one attempt. `divergence` gets the rows of this attempt, not those before it.

    `earlier`: the bytes of metrics.jsonl that an earlier attempt wrote; None: all that are there now.
    """

    def __init__(
        self,
        folder: Place,
        formats: Sequence[str],
        patterns: Sequence[str],
        divergence: Divergence | None = None,
        earlier: int | None = None,
    ) -> None:
        super().__init__()
        self._paths = JobPaths(folder)
        self._blocks: deque[tuple[int, int, bytes]] = deque()  # stream, number in the stream, content
        self._size = 0
        self._came, self._read = [0, 0], [0, 0]  # blocks of each stream
        self._new = 0  # bytes that came since the last look
        self._flood = False  # more than HELD came between the last two looks, or since
        self._skipped = 0  # bytes
        self._in_flood = False  # blocks were left out since all that waited was read
        self._nothing_came = allocate_lock()  # locked until a block comes
        self._nothing_came.acquire()
        self._blocks_lock, self._work_lock = allocate_lock(), allocate_lock()
        every = bool(patterns) or not all(target.startswith(BUILT_IN) for target in formats)
        self._splitters = (Splitter(every=every), Splitter(every=every))
        self._todo: Iterator[tuple[bytes, bool]] | None = None  # the lines of a block in which a look was interrupted
        self._lines = LineReader(formats, patterns)
        self._position = Position()
        self._printed = Measurements()
        self._metrics = Tail(self._paths.metrics, METRICS_AT_ONCE, links=True)
        self._own = Measurements()  # of metrics.jsonl
        self._writes_metrics = False
        self._rows = RowLog(folder / PARSED_METRICS)
        self.divergence = divergence or Divergence(0)
        self._earlier = size(self._paths.metrics) if earlier is None else earlier

    def feed(self, stream: int, block: bytes) -> None:
        """Take a block of output of stream 0 or 1. Called by the stream readers; costs them about a microsecond."""
        with self._blocks_lock:
            self._blocks.append((stream, self._came[stream], block))
            self._came[stream] += 1
            self._size += len(block)
            self._new += len(block)
            # In a flood little waits: memory that is not kept is used again for the next blocks, and is in the cache.
            self._flood = self._flood or self._new > HELD
            self._drop(LAST if self._flood else HELD)
            if self._nothing_came.locked():
                self._nothing_came.release()

    def _drop(self, least: int) -> None:
        """Leave the latest blocks only, which have `least` bytes together. Call with the lock."""
        while self._blocks and self._size - len(self._blocks[0][2]) >= least:
            self._lose(len(self._blocks.popleft()[2]))
            self._in_flood = True

    def _lose(self, size: int) -> None:
        self._size -= size
        self._skipped += size

    def _leave_the_end(self) -> None:
        """Leave the last LAST bytes of what waits, in a block that was begun and in those behind it."""
        with self._blocks_lock:
            self._drop(LAST)
            if (excess := self._size - LAST) > 0:
                stream, number, block = self._blocks[0]
                self._lose(excess)
                self._blocks[0] = stream, number, block[excess:]
                self._read[stream] = -1  # something is missing before this block
        lines = list(self._todo or ())
        left = LAST - self._size
        at = len(lines)
        while at and left > 0:
            at -= 1
            left -= len(lines[at][0])
        self._skipped += sum(len(line) for line, _ in lines[:at])
        self._todo = iter(lines[at:]) if self._todo else None

    def run(self) -> None:
        sys.setswitchinterval(SWITCH)
        while True:
            self._nothing_came.acquire(timeout=QUIET)
            left = True
            while left:
                began = time.monotonic()
                with self._work_lock:
                    left = self._look(began + SLICE)
                share = SHARE_OF_FLOOD if self._flood or self._size > HELD / 2 else SHARE
                rest = (time.monotonic() - began) * (1 / share - 1)
                time.sleep(rest if left else max(rest, PAUSE))

    def measured(self) -> Measured:
        """Everything until now. Call when the job has ended; a second call adds what came since."""
        with self._work_lock:
            if self._in_flood or self._look(time.monotonic() + AT_END):
                self._leave_the_end()
                self._look()
            for splitter in self._splitters:
                self._keep_all(splitter.finish())
            self._read_metrics(ended=True)
            self._rows.flush()
            warnings = self._printed.warnings() | (self._own.warnings() if self._writes_metrics else {})
            skipped = self._skipped + self._metrics.skipped
            if self._writes_metrics:
                final, best = outcome.final_metrics(self._paths.metrics), self._own.best()
            else:
                found = self._with_files()
                warnings = found.warnings()
                final = {**self._position.entries(), **found.last} if found else self._position.entries()
                best = found.best()
            return Measured(final, best, [*warnings.values(), *self._lines.errors], skipped)

    def _with_files(self) -> Measurements:
        """What was printed, and what is in the files of metrics of other programs."""
        found = self._printed.copy()
        folders = [self._paths.folder]
        if (run_dir := outcome.run_dir(self._paths)) is not None:
            folders.append(run_dir)
        for values, iteration, epoch in metric_files.rows(folders):
            found.add(values, iteration, epoch)
        return found

    def _look(self, until: float = float("inf")) -> bool:
        """Read what has come since the last look; True if something is left at the time `until`."""
        self._flood, self._new = self._new > HELD, 0
        if not self._blocks and self._todo is None:
            for splitter in self._splitters:
                self._keep_all(splitter.idle())
        self._read_metrics()
        while self._todo is not None or self._blocks:
            self._todo = self._todo or self._next_lines()
            for line, drawn_over in self._todo:
                self._keep(line, drawn_over=drawn_over)
                if time.monotonic() > until:
                    return True
            self._todo = None
            if time.monotonic() > until:
                return bool(self._blocks)
        self._in_flood = False
        return False

    def _next_lines(self) -> Iterator[tuple[bytes, bool]]:
        """The lines of the next block that waits."""
        with self._blocks_lock:
            stream, number, block = self._blocks.popleft()
            self._size -= len(block)
        splitter = self._splitters[stream]
        if number != self._read[stream]:
            splitter.skip()
        self._read[stream] = number + 1
        return splitter.feed(block)

    def _keep_all(self, lines: Iterable[tuple[bytes, bool]]) -> None:
        for line, drawn_over in lines:
            self._keep(line, drawn_over=drawn_over)

    def _keep(self, line: bytes, *, drawn_over: bool) -> None:
        reading = self._lines.read(line)
        if reading is None:
            return
        self._position.take(reading)
        self._printed.add(reading.values, self._position.iteration, self._position.epoch)
        if not self._writes_metrics:
            row = {**self._position.entries(), **reading.values}
            at = self._rows.write(row, drawn_over=drawn_over)
            if at is not None:
                self.divergence.take(reading.values, self._rows.line, PARSED_METRICS, at)

    def _read_metrics(self, *, ended: bool = False) -> None:
        lines = self._metrics.lines()
        at = self._metrics.at - sum(len(line) + 1 for line in lines)
        self._earlier = min(self._earlier, self._metrics.size)  # shorter: the job removed what it will write again
        for line in [*lines, self._metrics.rest()] if ended else lines:
            if (row := rows.parse(line)) is not None:
                self._own.add(rows.numbers(row), *rows.position(row))
                if not self._writes_metrics:
                    self._writes_metrics = True
                    self._rows.remove()
                if at >= self._earlier:
                    self.divergence.take(rows.measured(row), line, METRICS, at)
            at += len(line) + 1


class RowLog:
    """parsed_metrics.jsonl. Made with its first row. Of a progress bar at most a row a second is written."""

    def __init__(self, path: Place) -> None:
        self.line = b""  # that was written last
        self._path = path
        self._log: Log | None = None
        self._written: dict[str, Any] = {}
        self._of_bar: dict[str, Any] | None = None  # the latest row of a bar, which was not written yet
        self._next_bar = 0.0
        self._size = 0

    def write(self, row: dict[str, Any], *, drawn_over: bool) -> int | None:
        """Write a row that says something new; returns where it begins, None if it was not written."""
        if drawn_over and time.monotonic() < self._next_bar:
            self._of_bar = row
            return None
        self._next_bar = time.monotonic() + BAR_EVERY if drawn_over else self._next_bar
        self._of_bar = None
        if row == self._written:
            return None
        self._written = row
        self._log = self._log or Log(self._path)
        self.line, at = rows.to_line(row), self._size
        self._log.write(self.line)
        self._size += len(self.line)
        return at

    def flush(self) -> None:
        """Write the latest state of a bar."""
        if self._of_bar is not None:
            self.write(self._of_bar, drawn_over=False)

    def remove(self) -> None:
        """Take back what was written: the job has a file of its own."""
        if self._log is not None:
            self._log = None
            try:
                self._path.remove()
            except OSError:
                pass


def size(path: str | os.PathLike[str]) -> int:
    """In bytes; 0 for a file that is not there."""
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
