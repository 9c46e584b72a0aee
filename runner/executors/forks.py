"""The process that forks supervisors, and those that it has forked and that wait for what they are to run."""

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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runner.processes.ready import ready

SPAWNER = Path(__file__).resolve().parents[1] / "supervisor" / "spawner.py"
ROOM = 1 << 13  # bytes of the command of a process that is forked, which contains two paths
ANSWERS_WITHIN = 30.0  # seconds; it takes a thousandth of one, and with its own start a few hundredths
LEAVES_WITHIN = 2.0  # seconds for which an end is waited for


class NoAnswer(OSError):
    """The process that forks is gone, or stuck."""


class Waiting:
    """A process that was forked and waits for what it is to run. It ends with this object, unless it was told that."""

    def __init__(self, pid: int, descriptor: int, to_it: int) -> None:
        self.pid, self._descriptor = pid, descriptor
        self._socket = socket.socket(fileno=to_it)
        self._ends = weakref.finalize(self, _close, descriptor, self._socket)

    def run(self, name: str, words: Sequence[str], files: Sequence[int], meanwhile: Callable[[], None]) -> int:
        """Let it run a program, and do something else until it does. Returns a descriptor of it.

        Raises OSError if it cannot run that, and ConnectionError if it has ended: somebody has killed it.
        """
        try:
            self._socket.settimeout(ANSWERS_WITHIN)
            _send(self._socket, [name, len(files), *words], files)
            meanwhile()
            answer = self._socket.recv(16)
            if not answer:
                raise BrokenPipeError(errno.EPIPE, "it has ended")
            if answer != b"0":
                raise OSError(int(answer), os.strerror(int(answer)))
        except BaseException:
            self.end()
            raise
        self._ends.detach()
        self._socket.close()
        return self._descriptor

    def end(self) -> None:
        """End it, and wait for that."""
        if self._ends.alive:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
            ready(self._descriptor, LEAVES_WITHIN)
            self._ends()


def _close(descriptor: int, to_it: socket.socket) -> None:
    os.close(descriptor)
    to_it.close()


class Forks:
    """The process that forks (runner/supervisor/spawner.py), and the socket to it.

    One child is forked ahead, so that the next start does not wait for it.
    """

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = self._started(other)
        self.pid = self._process.pid
        self._inherited = _inherited()
        self._asked = False  # for a child; the answer was not read yet
        self._ahead: Waiting | None = None

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

    def fork(
        self, name: str, words: Sequence[str], files: Sequence[int], meanwhile: Callable[[], None]
    ) -> tuple[int, int]:
        """The number and a descriptor of a new process that runs a program. Raises OSError, NoAnswer if it cannot fork.

        `meanwhile` is called while that process begins.
        """
        try:
            found = self._run(self._child(), name, words, files, meanwhile)
        except ConnectionError:
            found = self._run(self._child(), name, words, files, meanwhile)
        with contextlib.suppress(NoAnswer):  # the next start will notice it
            self._ask()
        return found

    def _run(
        self, child: Waiting, name: str, words: Sequence[str], files: Sequence[int], meanwhile: Callable[[], None]
    ) -> tuple[int, int]:
        try:
            return child.pid, child.run(name, words, files, meanwhile)
        except BaseException:
            self.forget(child.pid)
            raise

    def _child(self) -> Waiting:
        """The one that was forked ahead, or another one. Raises OSError if the system cannot fork it."""
        self._take()
        if self._ahead is None:
            self._ask()
            if number := self._take():
                raise OSError(number, os.strerror(number))
        assert self._ahead is not None
        child, self._ahead = self._ahead, None
        return child

    def _ask(self) -> None:
        """Let it fork a child."""
        self._send({"child": True})
        self._asked = True

    def _take(self) -> int:
        """Take the child that was asked for, if one was; returns an errno if there was no room for it, else 0."""
        if not self._asked:
            return 0
        self._asked = False
        answer, descriptors = self._answer()
        if "error" in answer:
            return int(answer["error"])
        if len(descriptors) < 2:  # the child ends, as nobody has its socket
            for descriptor in descriptors:
                os.close(descriptor)
            self.forget(answer["pid"])
            return errno.EMFILE
        self._ahead = Waiting(answer["pid"], *descriptors)
        return 0

    def exit_code(self, pid: int) -> int | None:
        """That of a process that it forked, and that has ended."""
        self._take()
        self._send({"ended": pid})
        code: int | None = self._answer()[0]["code"]
        return code

    def forget(self, pid: int) -> None:
        """The number of a process that has ended can go to another one."""
        self._send({"forget": pid})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._socket.settimeout(ANSWERS_WITHIN)
            _send(self._socket, message)
        except OSError as error:
            self._socket.close()
            raise NoAnswer(error.errno, error.strerror) from error

    def _answer(self) -> tuple[dict[str, Any], list[int]]:
        """The next answer, and the descriptors that came with it. Raises NoAnswer, from then on always: an answer that
        is late would be taken for that of the next question."""
        files = array.array("i")
        try:
            # Not recv_fds, which leaves the descriptors to every program that is started from here.
            room = socket.CMSG_SPACE(2 * files.itemsize)
            message, sent, *_ = self._socket.recvmsg(4096, room, socket.MSG_CMSG_CLOEXEC)
            for *_, data in sent:
                files.frombytes(data[: len(data) - len(data) % files.itemsize])
            return json.loads(message), list(files)
        except (OSError, ValueError) as error:  # no message: it is gone
            self._socket.close()
            raise NoAnswer(errno.EPIPE, "no answer") from error

    def end(self) -> None:
        """Let it end by itself, without a child that waits; what it forked otherwise stays."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(LEAVES_WITHIN)
            self._take()
            if self._ahead is not None:
                self._ahead.end()
                self.forget(self._ahead.pid)
        self._socket.close()
        self._ahead = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LEAVES_WITHIN)

    def kill(self) -> None:
        """End it now: it does not answer."""
        self._process.kill()
        self.end()


def _send(receiver: socket.socket, message: object, files: Sequence[int] = ()) -> None:
    content = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
    receiver.sendmsg([json.dumps(message).encode()], content)


def _inherited() -> tuple[dict[Any, Any], str]:
    """What a process inherits, and a program of the user in this process may change."""
    environ = dict(getattr(os.environ, "_data", os.environ))  # as bytes: to decode it for each job takes 0.1 ms
    try:
        return environ, str(Path.cwd())
    except OSError:  # the folder was removed
        return environ, ""
