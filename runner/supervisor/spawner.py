"""Fork supervisors, and the guard, from a process that has imported them. Knows nothing of jobs.

A program of its own, one for each engine, started as `python -I -S runner/supervisor/spawner.py`. Standard input is a
socket to the engine, whose end means that the engine is gone: then this program ends. What it forked does not end with
it. It has one thread, and holds no descriptor of a process that it has answered for.

A message is a JSON object. `{"child": true}` asks for a new process; the answer has its `pid`, and comes with a
descriptor of it and a socket to it, or has an `error`, an errno. `{"ended": PID}` asks for the exit code of a process
that has ended, `{"forget": PID}` is not answered. Until one of them comes, the number belongs to no other process.

The new process waits for a message on its socket: `[PROGRAM, N, WORD, ...]` with N open files, its standard input and
its standard output first. It answers with an errno, 0 if it runs the program. It ends if the socket is closed before.
"""

from __future__ import annotations

import os
import sys

# Last on the path: no file of ours may hide the standard library.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import array
import errno
import gc
import json
import signal
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET, socket, socketpair  # `socket` takes milliseconds

from runner.processes import command_line, process_id
from runner.supervisor import __main__ as supervisor
from runner.supervisor import guard
from runner.supervisor.out_of_memory import cgroup_files
from runner.supervisor.spawn import Forked

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final, NoReturn

    Programs = dict[str, tuple[str, Callable[[], int | None]]]

PROGRAMS: Final[Programs] = {
    "supervisor": (os.path.abspath(supervisor.__file__), supervisor.main),
    "guard": (os.path.abspath(guard.__file__), guard.main),
}
ENGINE, NOTHING = 0, 1  # our standard input is the socket to the engine, our standard output is /dev/null
LARGEST = 1 << 16  # bytes of a message
MOST_FILES = 64  # of one process
COLLECT_AFTER = 20_000  # new objects: the supervisor of a short job makes fewer, and few of them refer to each other


def main() -> None:
    leave_signals_to_the_engine()
    for known in (command_line.of_command, process_id.boot, cgroup_files):
        known()  # once for all children
    gc.freeze()  # a collection in a child would copy all pages
    gc.set_threshold(COLLECT_AFTER)
    serve(socket(fileno=ENGINE), Spawner(ENGINE, NOTHING, PROGRAMS))


def leave_signals_to_the_engine() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # an ignored one would lose the exit codes


def serve(engine: socket, spawner: Spawner) -> None:
    """Answer the engine until it is gone."""
    while message := received(engine)[0]:
        try:
            spawner.answer(engine, json.loads(message))
        except OSError:  # the engine is gone
            break


def received(sender: socket) -> tuple[bytes, list[int]]:
    """The next message and the open files that came with it; no message once the sender is gone."""
    files = array.array("i")
    try:
        message, sent, *_ = sender.recvmsg(LARGEST, MOST_FILES * files.itemsize)
    except OSError:
        return b"", []
    for level, kind, data in sent:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            files.frombytes(data[: len(data) - len(data) % files.itemsize])
    return message, list(files)


def send(receiver: socket, message: object, files: Sequence[int] = ()) -> None:
    content = [(SOL_SOCKET, SCM_RIGHTS, array.array("i", files))] if files else []
    receiver.sendmsg([json.dumps(message).encode()], content)


class Spawner:
    """Answers the engine. A child has the descriptor `nothing` in place of `engine`, and runs one of the programs."""

    def __init__(self, engine: int, nothing: int, programs: Programs) -> None:
        self._engine, self._nothing, self._programs = engine, nothing, programs
        self._forgotten: list[int] = []  # some may not have ended yet

    def answer(self, engine: socket, message: dict[str, Any]) -> None:
        """Do what the engine asks for. Raises OSError if it is gone."""
        self._forgotten += [message["forget"]] if "forget" in message else []
        self._forgotten = [pid for pid in self._forgotten if not given_back(pid)]
        if "ended" in message:
            send(engine, {"code": exit_code(message["ended"])})
        elif "child" in message:
            try:
                pid, files = self._child()
            except OSError as error:
                send(engine, {"error": error.errno or errno.EIO})
                return
            try:
                send(engine, {"pid": pid}, files)
            finally:
                for file in files:
                    os.close(file)

    def _child(self) -> tuple[int, tuple[int, int]]:
        """A process that waits for its program, a descriptor of it and a socket to it. Raises OSError."""
        ours, other = socketpair(AF_UNIX, SOCK_SEQPACKET)
        try:
            pid = os.fork()
            if pid == 0:
                ours.close()
                os.dup2(self._nothing, self._engine, inheritable=False)  # the engine must notice the end of the spawner
                become(other, self._programs)
            other.close()
            try:
                return pid, (os.pidfd_open(pid), ours.detach())
            except OSError:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise
        finally:
            ours.close()
            other.close()


def given_back(pid: int) -> bool:
    """Give the number of a child that has ended back to the system; False if it has not ended."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def exit_code(pid: int) -> int | None:
    """That of a child, negative if a signal killed it; None if a debugger holds it, or it is not our child."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if found else None


def become(engine: socket, programs: Programs) -> NoReturn:
    """In the child: wait for what to run, and run it to its end. A job that it forks without exec raises Forked."""
    code, job = 1, None
    try:
        os.setsid()
        message, files = received(engine)
        if message:
            program, number, *words = json.loads(message)
            path, run = programs[program]
            complete = len(files) == number  # else there was no room for all of them
            failed = prepared([sys.executable, "-I", "-S", path, *words], files) if complete else errno.EMFILE
            engine.send(b"%d" % failed)
            engine.close()
            code = failed or run() or 0
        sys.stdout.flush()
    except Forked as forked:
        job = forked
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        if job is None:
            os._exit(code)  # a reader thread may hang in a pipe that another process holds
    raise job


def prepared(command: Sequence[str], files: Sequence[int]) -> int:
    """Make this process what it would be after a start as a program; returns 0, or an errno if that fails."""
    try:
        command_line.replace(command)
        for source, target in ((files[0], 0), (files[1], 1), (files[1], 2)):
            os.dup2(source, target)
        for file in files[:2]:
            os.close(file)
        for file in files[2:]:
            os.set_inheritable(file, True)
    except OSError as error:
        return error.errno or errno.ENOTSUP
    return 0


if __name__ == "__main__":
    main()
    os._exit(0)  # the engine waits for our end, and to free all objects one by one takes milliseconds
