"""combined.log: whole lines of both streams, each marked with its stream, and the last state of a progress bar.

A line that is not finished after 0.1 s is shown as far as it is, and continues in a new line only if the other stream
wrote meanwhile. A progress bar that redraws itself with carriage returns is folded to its last state, at most once a
second. Memory is bounded: a line of a gigabyte is passed on in pieces.
"""

from __future__ import annotations

import time
from _thread import allocate_lock

from runner.core.clock import Stamp
from runner.disk.append_log import Log

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable

HELD = 1 << 16  # bytes of an unfinished line kept back from combined.log at most
VISIBLE_AFTER = 0.1  # seconds until an unfinished line is shown in combined.log
BAR_EVERY = 1.0  # seconds between two states of a progress bar in combined.log


class Combined:
    """combined.log, shared by the two readers: keeps lines whole and marks each with its stream."""

    def __init__(self, log: Log, *, stamped: bool) -> None:
        self._log = log
        self._stamp: Callable[[], bytes] = Stamp() if stamped else lambda: b""
        self._lock = allocate_lock()
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


class Folder:
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
            state = last_state(self._held)
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
            state = last_state(line)
            if not (self._shown_bar is not None and state in (b"", self._shown_bar)):
                folded.append(state)
            self._shown_bar = None
        return b"\n".join(folded) + b"\n" if folded else b""


def last_state(line: bytes) -> bytes:
    """The text of a line with carriage returns that a terminal would show (roughly: the last non-empty piece)."""
    return line.rstrip(b"\r").rpartition(b"\r")[2]
