"""Look at the GPUs in a child process, with a time limit: drivers hang, and crash those who call them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from runner.gpus import devices
from runner.gpus.devices import Snapshot

LIMIT = 10.0  # seconds that a look may take
PROGRAM = "RUNNER_GPU_PROBE"  # in the environment: a command that prints what gpus/nvml.py prints, instead of it
LARGEST = 1 << 22  # bytes of an answer
AMD, NVIDIA = Path("/sys/class/kfd/kfd/topology"), Path("/proc/driver/nvidia")  # there while a driver is loaded


def _program() -> Path:
    """The program that asks the driver of this machine."""
    return Path(__file__).with_name("rocm.py" if AMD.exists() and not NVIDIA.exists() else "nvml.py")


class Looker:
    """One look at a time. Owns a process and its pipe while it looks."""

    def __init__(self, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic) -> None:
        self._environ = environ
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._text = b""

    def begin(self) -> Snapshot | None:
        """Begin a look, unless one is going on. A snapshot says that it could not begin."""
        if self._process is not None:
            return None
        self._began, self._text = self._clock(), b""
        words = shlex.split(self._environ.get(PROGRAM, "")) or [sys.executable, "-I", "-S", str(_program())]
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=dict(self._environ), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return self._failed(f"{words[0]} cannot be started: {error.strerror}")
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        return None

    def fileno(self) -> int:
        """Readable when there is something to `take`; -1 while nothing is looked at."""
        return -1 if self._process is None or self._process.stdout is None else self._process.stdout.fileno()

    def take(self) -> Snapshot | None:
        """The snapshot, once the look has ended or its time is over. It never waits."""
        if self._process is None:
            return None
        if self._clock() - self._began > LIMIT:
            self._process.kill()  # one that hangs in the driver ends when that lets it go
            return self._ended(f"the driver did not answer within {LIMIT:g} s")
        assert self._process.stdout is not None
        try:
            while block := os.read(self._process.stdout.fileno(), 1 << 16):
                self._text = (self._text + block)[:LARGEST]
        except BlockingIOError:
            return None
        code = self._process.poll()
        if code is None:
            return None  # it has closed its output, and ends in a moment
        if code < 0:
            return self._ended(f"the look at the GPUs died by signal {-code}")
        if code > 0 and not self._text:
            return self._ended(f"the look at the GPUs ended with exit code {code}")
        return self._ended(None)

    def look(self) -> Snapshot:
        """Look and wait for it, LIMIT seconds at the most."""
        found = self.begin()
        while found is None:
            found = self.take()
            if found is None:
                time.sleep(0.005)
        return found

    def _ended(self, error: str | None) -> Snapshot:
        assert self._process is not None and self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return self._failed(error) if error else devices.read(self._text.decode(errors="replace"), self._began)

    def _failed(self, error: str) -> Snapshot:
        return Snapshot(taken_at=self._began, error=error)
