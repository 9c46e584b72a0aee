"""Reader threads: two pipes -> stdout.log, stderr.log and combined.log. Bytes in, bytes out; knows nothing of jobs.

A pipe is read by blocks, never by lines. A block gets its timestamps by `bytes.replace`, so the work per line is done
in C. stdout.log and stderr.log hold the exact bytes, each line behind a timestamp of 24 bytes. combined.py says what
combined.log holds.
"""

from __future__ import annotations

import errno
import os
import select
import time
from functools import partial

from runner.core.clock import Stamp
from runner.disk.append_log import Log
from runner.disk.log_parts import CappedLog
from runner.processes.thread import Thread
from runner.supervisor.combined import Combined, Folder

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    StrPath = str | os.PathLike[str]

NAMES = ("stdout", "stderr")
BLOCK = 1 << 18  # bytes read from a pipe at once at most: what a pipe holds, so that a flood costs few system calls
REUSED = 1 << 20  # bytes up to which malloc keeps freed memory for the next block, which then costs no page faults
LARGE = 1_000_000_000  # bytes of a log without a limit that deserve a warning


class Reader(Thread):
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
        super().__init__()
        self._pipe = pipe
        self._log = log
        self._stamp = Stamp() if stamped else None
        self._folder = Folder(f"[{stream}] ".encode(), combined)
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

    Of a log that would be larger than `max_log_mb` the beginning and the end are kept.
    """

    def __init__(
        self,
        stdout: int,
        stderr: int,
        paths: tuple[StrPath, StrPath, StrPath],
        timestamps: str,
        max_log_mb: float | None = None,
    ) -> None:
        self._leave, self._finish = os.pipe()
        stamped = timestamps == "all"
        with_time = (stamped, stamped, timestamps != "none")
        self._capped: list[CappedLog] = []
        out, err, both = (self._log(*each, max_log_mb) for each in zip(paths, with_time, strict=True))
        self.logs = (out, err, both)
        self._combined = Combined(both, stamped=timestamps != "none")
        self.pipes = (stdout, stderr)
        self._stamped = stamped
        self._readers: tuple[Reader, ...] = ()
        self._began = time.monotonic()

    def _log(self, path: StrPath, stamped: bool, max_log_mb: float | None) -> Log:
        if max_log_mb is None:
            return Log(path)
        log = CappedLog(path, round(max_log_mb * 1e6), Stamp() if stamped else lambda: b"")
        self._capped.append(log)
        return log

    def readers(self, also: Callable[[int, bytes], None]) -> Sequence[Reader]:
        """The threads that read the pipes, to be started; a job that ends without a word needs none.

        `also` gets each block with the number of its stream, 0 or 1, and must return at once.
        """
        bytes(REUSED)  # malloc reuses what is smaller than the largest piece that was freed; none of it is touched
        self._readers = tuple(
            Reader(pipe, name, log, self._combined, self._leave, partial(also, number), stamped=self._stamped)
            for number, (pipe, name, log) in enumerate(zip(self.pipes, NAMES, self.logs, strict=False))
        )
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
        return max((reader.last_read for reader in self._readers), default=self._began)

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
