"""Start supervisors and the guard: a process that has imported them forks them, which costs no start of Python.

Where that is not possible, each is started as a program. Either way it has the same words and the same files.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from runner.disk.atomic import write_all
from runner.executors.forks import Forks, NoAnswer
from runner.processes import shortage
from runner.processes.ready import ready

FOLDER = Path(__file__).resolve().parents[1] / "supervisor"
PROGRAMS = {"supervisor": FOLDER / "__main__.py", "guard": FOLDER / "guard.py"}
C = TypeVar("C", bound="Child")


class Child(ABC):
    """A process that was started here. Owns the pipes to its standard input and from its standard output.

    `about` is what the result of its job says of the start.
    """

    about: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, pid: int, control: int, events: int) -> None:
        self.pid = pid
        self._control, self._events = control, events

    def fileno(self) -> int:
        """Readable when it has written something, or has ended."""
        return self._events

    def send(self, line: bytes) -> None:
        """Write to its standard input, unless it has ended."""
        with contextlib.suppress(BrokenPipeError):
            if self._control >= 0:
                write_all(self._control, line)

    def close(self) -> None:
        """Close the pipes: it is to end by itself."""
        for descriptor in (self._control, self._events):
            if descriptor >= 0:
                os.close(descriptor)
        self._control = self._events = -1

    @abstractmethod
    def gone(self, within: float = 0.0) -> bool:
        """True if it has ended, or does so in so many seconds."""

    @abstractmethod
    def exit_code(self) -> int | None:
        """That of a process that is gone, negative if a signal killed it; None if it cannot be known."""

    @abstractmethod
    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""

    @abstractmethod
    def forget(self) -> None:
        """Give its number back to the system, if it is gone. The last call."""


class Program(Child):
    """A process that was started as a program."""

    def __init__(self, process: subprocess.Popen[bytes], control: int, events: int) -> None:
        super().__init__(process.pid, control, events)
        self._process = process

    def gone(self, within: float = 0.0) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within)
        return self._process.returncode is not None

    def exit_code(self) -> int | None:
        return self._process.returncode

    def kill(self) -> None:
        self._process.kill()

    def forget(self) -> None:
        self._process.poll()


class Fork(Child):
    """A process that was forked. Its descriptor never refers to another one, also once nobody can wait for it."""

    def __init__(self, pid: int, descriptor: int, forks: Forks, control: int, events: int) -> None:
        super().__init__(pid, control, events)
        self._descriptor, self._forks = descriptor, forks
        self._gone = self._collected = False

    def gone(self, within: float = 0.0) -> bool:
        if not self._gone:
            self._gone = ready(self._descriptor, within)
        return self._gone

    def exit_code(self) -> int | None:
        if not self._gone or self._collected:
            return None
        self._collected = True
        try:
            return self._forks.exit_code(self.pid)
        except OSError:
            return None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def forget(self) -> None:
        if self.gone() and not self._collected:
            with contextlib.suppress(OSError):
                self._forks.forget(self.pid)
        os.close(self._descriptor)


def with_pipes(start: Callable[[Sequence[int], int, int], C], files: Sequence[int]) -> C:
    """A new process whose standard input and output are pipes, and which inherits more files. Raises OSError."""
    with contextlib.ExitStack() as opened, contextlib.ExitStack() as theirs:
        reads, control = os.pipe()
        theirs.callback(os.close, reads)
        opened.callback(os.close, control)
        events, writes = os.pipe()
        theirs.callback(os.close, writes)
        opened.callback(os.close, events)
        child = start((reads, writes, *files), control, events)
        opened.pop_all()
        return child


def nothing() -> None:
    """What is done meanwhile, where that is nothing."""


class Starter(Protocol):
    """What starts supervisors. `meanwhile` is called while the process begins."""

    def start(
        self, name: str, words: Sequence[str], files: Sequence[int] = (), meanwhile: Callable[[], None] = nothing
    ) -> Child: ...

    def remark(self) -> str:
        """What the user should know about the starts so far. It is said once."""


class Spawner:
    """Starts processes. The one that forks them is started with the first, and ends with this object."""

    def __init__(self) -> None:
        self.process: Forks | None = None
        self._ends: weakref.finalize[[], Spawner] | None = None
        self._usable = sys.platform.startswith("linux") and hasattr(signal, "pidfd_send_signal")
        self._remark = ""

    def remark(self) -> str:
        """What the user should know about the starts so far. It is said once."""
        remark, self._remark = self._remark, ""
        return remark

    def start(
        self, name: str, words: Sequence[str], files: Sequence[int] = (), meanwhile: Callable[[], None] = nothing
    ) -> Child:
        """Start the supervisor or the guard, which inherits more open files. Raises OSError if there is no room."""

        def started(inherited: Sequence[int], control: int, events: int) -> Child:
            if (found := self._forked(name, words, inherited, meanwhile)) is not None:
                forks, pid, descriptor = found
                return Fork(pid, descriptor, forks, control, events)
            process = _executed(name, words, inherited, control, events)
            meanwhile()
            return process

        return with_pipes(started, files)

    def _forked(
        self, name: str, words: Sequence[str], files: Sequence[int], meanwhile: Callable[[], None]
    ) -> tuple[Forks, int, int] | None:
        """A process that was forked: what forked it, its number, a descriptor of it. None where that is not possible.

        Raises OSError if the system cannot start it now.
        """
        if not self._usable:
            return None
        try:
            if self.process is None:
                self.process = Forks()
                self._ends = weakref.finalize(self, self.process.end)
            if not self.process.suits():
                return None
            return self.process, *self.process.fork(name, words, files, meanwhile)
        except OSError as error:
            if error.errno in shortage.PASSING and not isinstance(error, NoAnswer):
                raise
            self._give_up(error)
            return None

    def _give_up(self, error: OSError) -> None:
        self._usable = False
        cause = error.strerror or error
        self._remark = f"supervisors cannot be forked ({cause}); each is started as a program, which takes longer"
        if self.process is not None:
            self.process.kill()


def _executed(name: str, words: Sequence[str], files: Sequence[int], control: int, events: int) -> Program:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(PROGRAMS[name]), *words],
        stdin=files[0],
        stdout=files[1],
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl+C in the terminal reaches the engine only, which then decides
        pass_fds=files[2:],
    )
    return Program(process, control, events)
