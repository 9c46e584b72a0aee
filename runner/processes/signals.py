"""SIGINT, SIGTERM and SIGHUP as a count and a descriptor that becomes readable. A handler here does nothing else:
one that raises can lose a child or a record between any two bytecodes."""

from __future__ import annotations

import os
import signal
import time

from runner.processes import plain_signals
from runner.processes.plain_signals import SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, handle, handler

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any


def unblock() -> None:
    """Receive all signals: which ones are blocked is inherited, and a blocked Ctrl+C would never arrive."""
    plain_signals.mask(plain_signals.SET, ())


def hangup_ignored() -> bool:
    """True under `nohup` and `trap '' HUP`: somebody wants this process to outlive its terminal."""
    return bool(handler(SIGHUP) == plain_signals.IGNORED)


class Signals:
    """Installed for a `with` block, also where the parent had them blocked, or ignored, as `sh -c '... &'` does with
    SIGINT. Only a SIGHUP that is ignored stays ignored."""

    CAUGHT = (SIGINT, SIGTERM, SIGHUP)
    DRAIN = SIGUSR1  # finish what runs, start nothing more
    AT_ONCE = SIGUSR2  # as a second Ctrl+C, without a first
    ECHO = 0.25  # seconds in which a second signal is the same request: a shell and its terminal both send SIGHUP

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.received: list[int] = []  # the first stop request, and each that is more than an echo of it
        self.drain_requested = False
        self._clock = clock
        self._first = 0.0
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in (*self.CAUGHT, self.DRAIN, self.AT_ONCE):
            if number != SIGHUP or not hangup_ignored():
                self._before[number] = handle(number, self._note)
        self._blocked = plain_signals.mask(plain_signals.UNBLOCK, (*self._before, SIGCHLD))
        # An ignored SIGCHLD is inherited, and makes every exit code of a child read as 0.
        self._before[SIGCHLD] = handle(SIGCHLD, plain_signals.DEFAULT)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._wakeup)
        plain_signals.mask(plain_signals.BLOCK, self._blocked)
        self.lend()
        os.close(self._read)
        os.close(self._write)

    def lend(self) -> None:
        """Install again what was there before, until `take_back`: the user's own code runs in this process next."""
        for number, before in self._before.items():
            handle(number, before)

    def take_back(self) -> None:
        for number in self._before:
            handle(number, plain_signals.DEFAULT if number == SIGCHLD else self._note)

    def fileno(self) -> int:
        """Readable once a signal came; `drain` empties it."""
        return self._read

    def drain(self) -> None:
        try:
            while os.read(self._read, 512):
                pass
        except BlockingIOError:
            pass

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.note(number)

    def note(self, number: int) -> None:
        """Take note of a signal."""
        if number == self.DRAIN:
            self.drain_requested = True
        elif number == self.AT_ONCE:
            self.received += [SIGTERM, SIGTERM]
        elif not self.received:
            self.received.append(number)
            self._first = self._clock()
        elif number != SIGHUP and self._clock() > self._first + self.ECHO:
            self.received.append(number)


class NoSignals(Signals):
    """For a thread that is not the main one, and so cannot install a handler: it never receives a signal."""

    def __enter__(self) -> Signals:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._read)
        os.close(self._write)
