"""Reader threads: two pipes -> stdout.log, stderr.log and combined.log. Bytes in, bytes out; knows nothing of jobs.

A pipe is read by blocks, never by lines. A block gets its timestamps by `bytes.replace`, so the work per line is done
in C. stdout.log and stderr.log hold the exact bytes, each line behind a timestamp of 24 bytes. combined.log holds whole
lines behind `<timestamp> [stdout] `; a line that is not finished after 0.1 s is shown as far as it is, and continues in
a new line only if the other stream wrote meanwhile. A progress bar that redraws itself with carriage returns is folded
there to its last state, at most once a second. Memory is bounded: a line of a gigabyte is passed on in pieces.
"""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from functools import partial

from runner.core.clock import Stamp
from runner.disk.append_log import Log
from runner.disk.log_parts import CappedLog

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable

    StrPath = str | os.PathLike[str]

BLOCK = 1 << 18  # bytes read from a pipe at once at most: what a pipe holds, so that a flood costs few system calls
REUSED = 1 << 20  # bytes up to which malloc keeps freed memory for the next block, which then costs no page faults
HELD = 1 << 16  # bytes of an unfinished line kept back from combined.log at most
VISIBLE_AFTER = 0.1  # seconds until an unfinished line is shown in combined.log
LARGE = 1_000_000_000  # bytes of a log without a limit that deserve a warning
BAR_EVERY = 1.0  # seconds between two states of a progress bar in combined.log


class Combined:
    """combined.log, shared by the two readers: keeps lines whole and marks each with its stream."""

    def __init__(self, log: Log, *, stamped: bool) -> None:
        self._log = log
        self._stamp: Callable[[], bytes] = Stamp() if stamped else lambda: b""
        self._lock = threading.Lock()
        self._open: bytes | None = None  # the stream whose unfinished line is at the end of the file

    def write_lines(self, stream: bytes, held: bytes, block: bytes, end: int) -> None:
        """Append the whole lines in `held + block[:end]`, which ends with a newline."""
        with self._lock:
            prefix = self._stamp() + stream
            marked = block.replace(b"\n", b"\n" + prefix)
            # A view of what is needed: neither the last prefix nor the rest of the block is cut off by a copy.
            lines = memoryview(marked)[: len(marked) - len(prefix) - (len(block) - end)]
            self._log.write(self._head(stream, prefix), held, lines)
            self._open = None

    def write_piece(self, stream: bytes, text: bytes) -> None:
        """Append a piece of a line that holds no newline."""
        with self._lock:
            self._log.write(self._head(stream, self._stamp() + stream), text)
            self._open = stream

    def _head(self, stream: bytes, prefix: bytes) -> bytes:
        """What comes before the text: nothing if it continues the line at the end of the file."""
        return b"" if self._open == stream else prefix if self._open is None else b"\n" + prefix

    def close_line(self) -> None:
        """End the unfinished line, if there is one."""
        with self._lock:
            if self._open is not None:
                self._log.write(b"\n")
                self._open = None


class _Folder:
    """What one stream has not yet written to combined.log: an unfinished line, or the last state of a progress bar."""

    def __init__(self, stream: bytes, combined: Combined) -> None:
        self._stream = stream
        self._combined = combined
        self._held = b""
        self._due = 0.0  # when what is held must be shown
        self._shown_bar: bytes | None = None  # the last state that was shown of the bar that is being drawn
        self._next_bar = 0.0

    @property
    def due_in(self) -> float | None:
        """Seconds until `flush` should be called; None when nothing is held."""
        if self._held in (b"", b"\r"):
            return None
        due = max(self._next_bar, self._due) if b"\r" in self._held else self._due
        return max(due - time.monotonic(), 0.0)

    def feed(self, block: bytes) -> None:
        end = block.rfind(b"\n") + 1
        if end or not self._held:  # a line begins, which may stay unfinished
            self._due = time.monotonic() + VISIBLE_AFTER
        if not end:
            self._held += block
        elif self._shown_bar is None and b"\r" not in self._held and b"\r" not in block:
            self._combined.write_lines(self._stream, self._held, block, end)
            self._held = block[end:]
        else:
            folded = self._fold(self._held + block[:end])
            if folded:
                self._combined.write_lines(self._stream, b"", folded, len(folded))
            self._held = block[end:]
        self._show_what_is_due()

    def _show_what_is_due(self) -> None:
        if b"\r" in self._held:
            # Only the last state of a bar is ever shown; a state that is being drawn may not have its text yet.
            states = self._held.rsplit(b"\r", 2)
            self._held = b"\r".join(states[-2:])[-HELD:]
            if time.monotonic() >= self._next_bar:
                self.flush()
        elif len(self._held) > HELD or (self._held and time.monotonic() >= self._due):
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if b"\r" in self._held:
            state = _last_state(self._held)
            if state and state != self._shown_bar:
                self._combined.write_lines(self._stream, b"", state + b"\n", len(state) + 1)
                self._shown_bar = state
            self._next_bar = time.monotonic() + BAR_EVERY
            # A carriage return at the end may be the first half of "\r\n": it stays, so that the next block decides.
            self._held = b"\r" if self._held.endswith(b"\r") else b""
        elif self._held:
            self._combined.write_piece(self._stream, self._held)
            self._held = b""

    def _fold(self, lines: bytes) -> bytes:
        """Whole lines -> the same lines, each with the last state of its progress bar only."""
        folded = []
        for line in lines[:-1].split(b"\n"):
            state = _last_state(line)
            if not (self._shown_bar is not None and state in (b"", self._shown_bar)):
                folded.append(state)
            self._shown_bar = None
        return b"\n".join(folded) + b"\n" if folded else b""


def _last_state(line: bytes) -> bytes:
    """The text of a line with carriage returns that a terminal would show (roughly: the last non-empty piece)."""
    return line.rstrip(b"\r").rpartition(b"\r")[2]


class Reader(threading.Thread):
    """Reads one pipe to its end, or until `leave` becomes readable and the pipe is empty."""

    def __init__(
        self,
        pipe: int,
        stream: str,
        log: Log,
        combined: Combined,
        leave: int,
        also: Callable[[bytes], None],
        *,
        stamped: bool,
    ) -> None:
        super().__init__(name=f"read-{stream}", daemon=True)
        self._pipe = pipe
        self._log = log
        self._stamp = Stamp() if stamped else None
        self._folder = _Folder(f"[{stream}] ".encode(), combined)
        self._leave = leave
        self._also = also
        self._at_line_start = True
        self.last_read = time.monotonic()

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        poll.register(self._leave, select.POLLIN)
        while True:
            due = self._folder.due_in
            ready = poll.poll(None if due is None else due * 1000)
            if not ready:
                self._folder.flush()
                continue
            if all(descriptor != self._pipe for descriptor, _ in ready):
                break
            block = self._read()
            if not block:
                break
            self._write(block)
        self._folder.flush()

    def _read(self) -> bytes:
        try:
            return os.read(self._pipe, BLOCK)
        except OSError as error:
            if error.errno == errno.EIO:  # the other side of a pseudo-terminal is gone: its end of file
                return b""
            raise

    def _write(self, block: bytes) -> None:
        self.last_read = time.monotonic()
        self._log.write(*self._stamped(block))
        self._folder.feed(block)
        self._also(block)

    def _stamped(self, block: bytes) -> tuple[bytes | memoryview, ...]:
        """The block with a timestamp before each line, as pieces: a view is cut without copying."""
        if self._stamp is None:
            return (block,)
        stamp = self._stamp()
        ends_line = block.endswith(b"\n")
        text = memoryview(block.replace(b"\n", b"\n" + stamp))
        if ends_line:
            text = text[: -len(stamp)]
        head = stamp if self._at_line_start else b""
        self._at_line_start = ends_line
        return (head, text)


class Streams:
    """The two pipes of one job and its three logs. `timestamps` is `all`, `combined` or `none`.

    `also` gets each block with the number of its stream, 0 or 1, and must return at once. Of a log that would be larger
    than `max_log_mb` the beginning and the end are kept.
    """

    def __init__(
        self,
        stdout: int,
        stderr: int,
        paths: tuple[StrPath, StrPath, StrPath],
        timestamps: str,
        also: Callable[[int, bytes], None],
        max_log_mb: float | None = None,
    ) -> None:
        bytes(REUSED)  # malloc reuses what is smaller than the largest piece that was freed; none of it is touched
        self._leave, self._finish = os.pipe()
        stamped = timestamps == "all"
        with_time = (stamped, stamped, timestamps != "none")
        self._capped: list[CappedLog] = []
        out, err, both = (self._log(*each, max_log_mb) for each in zip(paths, with_time, strict=True))
        self.logs = (out, err, both)
        self._combined = Combined(both, stamped=timestamps != "none")
        self._readers = (
            Reader(stdout, "stdout", out, self._combined, self._leave, partial(also, 0), stamped=stamped),
            Reader(stderr, "stderr", err, self._combined, self._leave, partial(also, 1), stamped=stamped),
        )

    def _log(self, path: StrPath, stamped: bool, max_log_mb: float | None) -> Log:
        if max_log_mb is None:
            return Log(path)
        log = CappedLog(path, round(max_log_mb * 1e6), Stamp() if stamped else lambda: b"")
        self._capped.append(log)
        return log

    @property
    def readers(self) -> tuple[Reader, Reader]:
        """The threads that read the pipes, to be started."""
        return self._readers

    @property
    def done(self) -> bool:
        return not any(reader.is_alive() for reader in self._readers)

    def join(self, seconds: float) -> bool:
        """Wait for both readers to reach the end of their pipes; True if they did."""
        deadline = time.monotonic() + seconds
        for reader in self._readers:
            reader.join(max(deadline - time.monotonic(), 0))
        return self.done

    def finish(self, seconds: float) -> None:
        """Make the readers leave although another process still holds the pipes open, and end the last line."""
        os.write(self._finish, b"x")
        self.join(seconds)
        self._combined.close_line()
        if self.done:
            for log in self._capped:
                log.join()

    @property
    def last_output(self) -> float:
        """When either stream last had output, or began; of the monotonic clock."""
        return max(reader.last_read for reader in self._readers)

    @property
    def errors(self) -> list[str]:
        """A sentence for each log that could not be written in full."""
        return [f"{log.error} ({log.lost} bytes lost)" for log in self.logs if log.error]

    @property
    def warnings(self) -> list[str]:
        """A sentence for each log that lacks a part of the output, or is very large."""
        lost = [f"{log.name} was cut: {log.cause}, {log.lost} bytes lost" for log in self.logs if log.lost]
        left_out = [
            f"{log.name} has the beginning and the end only, {log.left_out} bytes were left out (--max_log_mb)"
            for log in self._capped
            if log.left_out
        ]
        large = [
            f"{log.name} has {log.size / 1e9:.1f} GB; --max_log_mb N keeps its beginning and its end only"
            for log in self.logs
            if log.size > LARGE and not self._capped
        ]
        return [*lost, *left_out, *large]
