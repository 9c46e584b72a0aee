"""Start supervisors and the guard: a process that has imported them forks them, which costs no start of Python.

Where that is not possible, each is started as a program. Either way it has the same words and the same files.
"""

from __future__ import annotations

import array
import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from runner.disk.atomic import write_all
from runner.processes import shortage
from runner.processes.ready import ready

FOLDER = Path(__file__).resolve().parents[1] / "supervisor"
PROGRAMS = {"supervisor": FOLDER / "__main__.py", "guard": FOLDER / "guard.py"}
SPAWNER = FOLDER / "spawner.py"
ROOM = 1 << 13  # bytes of the command of a process that is forked, which contains two paths
ANSWERS_WITHIN = 30.0  # seconds; it takes a thousandth of one, and with its own start a few hundredths
LEAVES_WITHIN = 2.0  # seconds for which its end is waited for
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


class NoAnswer(OSError):
    """The process that forks is gone, or stuck."""


class Forks:
    """The process that forks (runner/supervisor/spawner.py), and the socket to it."""

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = self._started(other)
        self.pid = self._process.pid
        self._inherited = _inherited()

    def _started(self, other: socket.socket) -> subprocess.Popen[bytes]:
        """The process, with the other end of the socket."""
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(SPAWNER), " " * ROOM],
            stdin=other.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def suits(self) -> bool:
        """True if a child of it inherits what one of ours would."""
        return self._inherited == _inherited()

    def fork(self, name: str, words: Sequence[str], files: Sequence[int]) -> tuple[int, int]:
        """The number and a descriptor of a new process. Raises OSError, and NoAnswer where there is none."""
        self._send({"program": name, "words": words, "files": len(files)}, files)
        answer, descriptors = self._answer()
        if (number := answer.get("error")) is None and not descriptors:
            number = errno.EMFILE  # here: the new process ends, as its pipes are closed
        if number is not None:
            raise OSError(number, os.strerror(number))
        return answer["pid"], descriptors[0]

    def exit_code(self, pid: int) -> int | None:
        """That of a process that it forked, and that has ended."""
        self._send({"ended": pid})
        code: int | None = self._answer()[0]["code"]
        return code

    def forget(self, pid: int) -> None:
        """The number of a process that has ended can go to another one."""
        self._send({"forget": pid})

    def _send(self, message: dict[str, Any], files: Sequence[int] = ()) -> None:
        content = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        try:
            self._socket.settimeout(ANSWERS_WITHIN)
            self._socket.sendmsg([json.dumps(message).encode()], content)
        except OSError as error:
            raise NoAnswer(error.errno, error.strerror) from error

    def _answer(self) -> tuple[dict[str, Any], list[int]]:
        try:
            message, descriptors, *_ = socket.recv_fds(self._socket, 4096, 1)
            return json.loads(message), descriptors
        except (OSError, ValueError) as error:  # no message: it is gone
            raise NoAnswer(errno.EPIPE, "no answer") from error

    def end(self) -> None:
        """Let it end by itself; what it forked stays."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LEAVES_WITHIN)

    def kill(self) -> None:
        """End it now: it does not answer."""
        self._process.kill()
        self.end()


def _inherited() -> tuple[dict[Any, Any], str]:
    """What a process inherits, and a program of the user in this process may change."""
    environ = dict(getattr(os.environ, "_data", os.environ))  # as bytes: to decode it for each job takes 0.1 ms
    try:
        return environ, str(Path.cwd())
    except OSError:  # the folder was removed
        return environ, ""


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


class Starter(Protocol):
    """What starts supervisors."""

    def start(self, name: str, words: Sequence[str], files: Sequence[int] = ()) -> Child: ...

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

    def start(self, name: str, words: Sequence[str], files: Sequence[int] = ()) -> Child:
        """Start the supervisor or the guard, which inherits more open files. Raises OSError if there is no room."""

        def started(inherited: Sequence[int], control: int, events: int) -> Child:
            child = self._forked(name, words, inherited, control, events)
            return child or _executed(name, words, inherited, control, events)

        return with_pipes(started, files)

    def _forked(self, name: str, words: Sequence[str], files: Sequence[int], control: int, events: int) -> Fork | None:
        """A process that was forked; None where that is not possible. Raises OSError if there is no room for it now."""
        if not self._usable:
            return None
        try:
            if self.process is None:
                self.process = Forks()
                self._ends = weakref.finalize(self, self.process.end)
            if not self.process.suits():
                return None
            return Fork(*self.process.fork(name, words, files), self.process, control, events)
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
