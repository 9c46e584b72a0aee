"""Start one process in a session of its own, and notice its exit. Linux: it dies with the process that started it."""

from __future__ import annotations

import errno
import fcntl
import marshal
import os
import signal
import sys

from runner.disk.atomic import write_all
from runner.processes import command_line, process_tree
from runner.processes.plain_signals import DEFAULT, SIGCHLD, SIGHUP, SIGKILL, SIGPIPE, SIGXFSZ, handle
from runner.processes.prctl import PR_SET_PDEATHSIG, prctl
from runner.processes.signals import Signals, hangup_ignored, unblock
from runner.processes.thread import Thread
from runner.supervisor import out_of_memory

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import NoReturn

F_SETPIPE_SZ, PIPE_SIZE = 1031, 1 << 18
RESET = (*Signals.CAUGHT, Signals.DRAIN, Signals.AT_ONCE, SIGCHLD, SIGPIPE, SIGXFSZ)
#: What a job inherits. Read here: to decode it in each supervisor takes 0.3 ms.
INHERITED = dict(os.environ)


class Forked(BaseException):
    """Raised in the process of a job that is to run its Python script as it is, without exec. Its caller does that."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        super().__init__()
        self.argv, self.env = argv, env


def pipe() -> tuple[int, int]:
    """A pipe that holds four blocks where the system allows it, so that neither side waits."""
    read, write = os.pipe()
    if sys.platform.startswith("linux"):
        try:
            fcntl.fcntl(write, F_SETPIPE_SZ, PIPE_SIZE)
        except OSError:  # the user's quota of pipe memory is used up
            pass
    return read, write


class JobProcess:
    """A process in a session of its own that waits for the job that it is to be. Raises OSError if there is no room.

    fork and not subprocess: PR_SET_PDEATHSIG must be set between fork and exec, and this process has one thread still.
    It is made before the job is known: while the engine prepares that, it becomes ready on another core.
    """

    def __init__(self) -> None:
        (self.stdout, out), (self.stderr, err) = pipe(), pipe()
        self._failed, report = os.pipe()
        given, self._give = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._give)
            _become(given, (out, err), report, parent)
        for descriptor in (given, out, err, report):
            os.close(descriptor)

    def become(self, argv: list[str], env: dict[str, str], cwd: str, *, warm: bool = False) -> None:
        """Let it be the job, by an exec. `warm`: it raises Forked instead."""
        try:
            write_all(self._give, marshal.dumps((argv, env, cwd, warm)))
        except BrokenPipeError:  # somebody has killed it, which its exit will say
            pass
        os.close(self._give)

    def check(self) -> None:
        """Wait for its exec; raises the OSError of that."""
        text = b""
        while block := os.read(self._failed, 100):
            text += block
        os.close(self._failed)
        if text:
            os.waitpid(self.pid, 0)
            number, _, where = text.decode().partition(" ")
            raise OSError(int(number), f"{os.strerror(int(number))}{where and f' ({where})'}")


def _become(given: int, outputs: tuple[int, int], report: int, parent: int) -> NoReturn:
    """In the child: wait for the job, and exec it, or report why that failed. `warm`: raise Forked instead."""
    where = ""
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, SIGKILL)
        if os.getppid() != parent:  # the supervisor died before the line above took hold
            os._exit(127)
        reset_signals()
        out_of_memory.be_killed_first()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (outputs[0], 1), (outputs[1], 2)):
            os.dup2(source, target)
        text = b""
        while block := os.read(given, 1 << 16):
            text += block
        if not text:  # no job came
            os._exit(127)
        argv, env, where, warm = marshal.loads(text)
        os.chdir(where)
        where = ""
        # A module that was imported for warm jobs may have set variables, which its next import would not set again.
        env = {**(os.environ if warm else INHERITED), **env}
        if not warm:
            os.execvpe(argv[0], argv, env)
        for name in (process_tree.MARK, process_tree.FOLDER):  # what an exec does by itself
            command_line.set_variable(name, env[name])
    except BaseException as error:
        if isinstance(error, OSError):
            os.write(report, f"{error.errno or errno.EIO} {where}".encode())
        os._exit(127)
    os.close(report)
    raise Forked(argv, env)


def reset_signals() -> None:
    """As a shell starts a program; a SIGHUP that was ignored from the start stays ignored."""
    signal.set_wakeup_fd(-1)
    for number in RESET:
        if number != SIGHUP or not hangup_ignored():
            handle(number, DEFAULT)
    unblock()


def exit_descriptor(pid: int) -> int:
    """A descriptor that becomes readable when the process has ended."""
    if hasattr(os, "pidfd_open"):
        try:
            return os.pidfd_open(pid)
        except OSError:  # an old kernel, or a sandbox that forbids it
            pass
    read, write = os.pipe()

    class Waiting(Thread):
        def run(self) -> None:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            os.write(write, b"x")

    Waiting().start()
    return read
