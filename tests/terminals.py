"""A pseudo-terminal that is the controlling terminal of a program, as a person's is."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import DEADLINE, RUN_EXPERIMENTS, Workspace

RUNNER = f"{sys.executable} {RUN_EXPERIMENTS}"


def on_a_terminal(work: Workspace, *arguments: str, rows: int = 24, columns: int = 110, **environment: str) -> str:
    """Everything that run_experiments.py wrote to a pseudo-terminal of this size."""
    sizeless = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, str(RUN_EXPERIMENTS), *arguments],
        cwd=work.folder, stdin=follower, stdout=follower, stderr=follower,
        env={**sizeless, "TERM": "xterm-256color", **environment}, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    written = b""
    while True:
        try:
            block = os.read(leader, 1 << 16)
        except OSError:  # the other side is closed
            break
        if not block:
            break
        written += block
    process.wait(30)
    os.close(leader)
    return written.decode()


class Terminal:
    """Runs a program in a session of its own on a pseudo-terminal, and keeps what it writes."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self._leader, follower = pty.openpty()
        self.written = ""
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "PS1": "$ ", "COLUMNS": "110", "LINES": "30"},
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # makes it the controlling terminal
        )  # fmt: skip
        os.close(follower)

    def __del__(self) -> None:
        if self._leader >= 0:
            self.close()

    def type(self, text: str) -> None:
        os.write(self._leader, text.encode())

    def expect(self, pattern: str, what: str, seconds: float = DEADLINE) -> str:
        """Wait until the pattern was written; all up to its end is returned and forgotten."""
        deadline = time.monotonic() + seconds
        while (found := re.search(pattern, self.written, re.DOTALL)) is None:
            left = deadline - time.monotonic()
            assert left > 0 and self._read(left), f"{what}: not within {seconds} s\n{self.written[-1500:]!r}"
        before, self.written = self.written[: found.end()], self.written[found.end() :]
        return before

    def drain(self, seconds: float) -> str:
        """What is written within this time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._read(left):
            pass
        text, self.written = self.written, ""
        return text

    def _read(self, seconds: float) -> bool:
        """False if nothing comes any more."""
        waiting = select.poll()  # unlike select(), for any number of open files
        waiting.register(self._leader, select.POLLIN)
        if not waiting.poll(1000 * seconds):
            return True
        try:
            block = os.read(self._leader, 1 << 16)
        except OSError:  # the other side is closed
            return False
        self.written = re.sub(r"\x1b\[[0-9;]*m", "", self.written + block.decode(errors="replace"))  # without colours
        return bool(block)

    def ends_within(self, seconds: float) -> bool:
        """Whether the program ends within this time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """As a window that is closed, or a connection that is lost."""
        os.close(self._leader)
        self._leader = -1
