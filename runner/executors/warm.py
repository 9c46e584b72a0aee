"""Processes that have imported what jobs need, and fork their supervisors: `--warm`. A job is then a fork as well.

Which jobs can be started so is judged from their commands; the others are started as ever, and so is every job once
such a process has refused to be forked, or was lost twice. The result of a job says how it was started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.executors.forks import Forks, NoAnswer
from runner.executors.job_program import PYTHON, interpreter
from runner.executors.python_environment import is_own
from runner.executors.spawner import FOLDER, Child, Fork, Spawner, nothing, with_pipes
from runner.gpus import preallocation, visible
from runner.planners.environment import OF_A_JOB
from runner.processes import process_tree, shortage
from runner.processes.ready import ready

PROGRAM = FOLDER / "warm.py"
ROOM, MARK_ROOM, FOLDER_ROOM = 1 << 15, 64, 1 << 12  # bytes of a command, and of two variables of a job
IMPORTS_WITHIN = 300.0  # seconds
MOST_FORKS = 200  # of one process
MOST_KINDS = 4  # of processes, each of which holds in memory what it has imported
MOST_LOST = 2
LARGEST = 1 << 18  # bytes of a message: more than the buffer of a socket takes
#: Options of Python that are the same for all that it runs.
OPTIONS = frozenset(("-u", "-O", "-OO", "-B", "-s", "-E", "-P"))
#: Variables that differ from job to job, and that are read when they are used, not with an import.
VARIES = frozenset((
    *OF_A_JOB, *visible.HIDDEN, visible.ORDER, *preallocation.NAMES,
))  # fmt: skip
OURS = "RUNNER_"  # begins the names of others: the mark of a job, its folder, the config of the library, a job of Hydra


@dataclass(frozen=True, slots=True)
class Kind:
    """What jobs have in common that can be forks of one process: how Python is started, and where."""

    python: tuple[str, ...]  # and its options
    folder: str  # of the script, links resolved
    cwd: str
    env: frozenset[tuple[str, str]]  # what is added to the environment


def kind_of(job: Job, added: Mapping[str, str]) -> Kind | str:
    """The kind of start of a job whose environment gets these additions; or why it is started cold."""
    words = job.argv
    at = next((at for at, word in enumerate(words[1:], 1) if word not in OPTIONS), len(words))
    script = job.cwd / words[at] if at < len(words) else job.cwd
    if not words or not PYTHON.fullmatch(Path(words[0]).name) or script.suffix != ".py" or not script.is_file():
        return "its command is not python SCRIPT"
    python = interpreter(job)
    if python is None or not is_own(python):
        return "it runs in another Python than the runner"
    env = {name: value for name, value in {**added, **job.env}.items()
           if name not in VARIES and not name.startswith(OURS)}  # fmt: skip
    return Kind(words[:at], str(script.resolve().parent), str(job.cwd), frozenset(env.items()))


class Imported(Forks):
    """A process that imports modules, and then forks. Raises OSError if it cannot be started."""

    def __init__(self, kind: Kind, imports: Sequence[str]) -> None:
        self._kind, self._imports = kind, imports
        self._until = time.monotonic() + IMPORTS_WITHIN
        self._files: dict[str, int] = {}
        self._forks = 0
        self.seconds: float | None = None  # that the imports took; None until they are done
        super().__init__()
        self._ends = weakref.finalize(self, _end, self._socket, self._process)

    def _started(self, other: socket) -> subprocess.Popen[bytes]:
        (out, their_out), (err, their_err) = os.pipe(), os.pipe()
        files = (other.fileno(), out, err)
        about = {"socket": files[0], "out": out, "err": err, "folder": self._kind.folder, "imports": self._imports}
        room = {process_tree.MARK: "0" * MARK_ROOM, process_tree.FOLDER: "/" * FOLDER_ROOM}
        try:
            return subprocess.Popen(
                [*self._kind.python, str(PROGRAM), json.dumps(about), " " * ROOM],
                stdin=subprocess.DEVNULL,
                stdout=their_out,
                stderr=their_err,
                start_new_session=True,
                pass_fds=files,
                cwd=self._kind.cwd,
                env={**os.environ, **dict(self._kind.env), **room},
            )
        finally:
            for descriptor in (out, their_out, err, their_err):
                os.close(descriptor)

    def fileno(self) -> int:
        """Readable once the imports are done."""
        return self._socket.fileno()

    def read(self) -> str:
        """Take notice of what it has sent; returns why it cannot be used, empty if it can."""
        if not ready(self._socket, 0):
            return f"its imports take more than {IMPORTS_WITHIN:g} s" if time.monotonic() > self._until else ""
        message = self._socket.recv(LARGEST)
        answer = json.loads(message) if message else {}
        if "ready" not in answer:
            return str(answer.get("refused") or f"the process that imports {', '.join(self._imports)} has ended")
        self.seconds, self._files = answer["seconds"], answer["files"]
        return ""

    def stale(self) -> bool:
        """True if a file that it has imported was changed, or it has forked often enough."""
        return self._forks >= MOST_FORKS or any(_changed(path, moment) for path, moment in self._files.items())

    def start(self, name: str, words: Sequence[str], files: Sequence[int], meanwhile: Callable[[], None]) -> Fork:
        """A supervisor. Raises OSError, and NoAnswer if this process is gone."""

        def started(inherited: Sequence[int], control: int, events: int) -> Fork:
            return Fork(*self.fork(name, words, inherited, meanwhile), self, control, events)

        self._forks += 1
        child = with_pipes(started, files)
        child.about = {"start": "warm", "import_seconds": self.seconds}
        return child


def _changed(path: str, moment: int) -> bool:
    try:
        return Path(path).stat().st_mtime_ns != moment
    except OSError:
        return True


def _end(socket: socket, process: subprocess.Popen[bytes]) -> None:
    """End it, also while it imports; what it forked stays."""
    socket.close()
    process.kill()
    process.wait()


class Warm:
    """The processes that have imported what the jobs of one executor need. Each ends when nothing refers to it."""

    def __init__(self, options: RunOptions, spawner: Spawner) -> None:
        self._imports = options.warm_imports
        self._spawner = spawner
        self._processes: dict[Kind, Imported] = {}
        self._cold: dict[Kind, str] = {}
        self._lost = 0
        self._remarks: list[str] = []

    def importing(self, kind: Kind | str) -> bool:
        """True as long as jobs of this kind wait for imports, which are begun here."""
        self.read()
        if isinstance(kind, str) or kind in self._cold:
            return False
        found = self._processes.get(kind)
        if found is None or found.stale():
            self._processes.pop(kind, None)
            return self._begin(kind)
        return found.seconds is None

    def _begin(self, kind: Kind) -> bool:
        if not sys.platform.startswith("linux"):
            self._give_up(kind, "it needs Linux")
        elif len(self._processes) >= MOST_KINDS:
            self._give_up(kind, f"the jobs of this batch are started in more than {MOST_KINDS} ways")
        else:
            try:
                self._processes[kind] = Imported(kind, self._imports)
            except OSError as error:
                self._give_up(kind, error.strerror or str(error))
        return kind in self._processes

    def senders(self) -> dict[int, Kind]:
        """What becomes readable when imports are done."""
        return {found.fileno(): kind for kind, found in self._processes.items() if found.seconds is None}

    def read(self) -> None:
        """Take notice of imports that are done, or have failed."""
        for kind in self.senders().values():
            if why := self._processes[kind].read():
                self._give_up(kind, why)

    def _give_up(self, kind: Kind, why: str) -> None:
        self._processes.pop(kind, None)
        self._cold[kind] = why
        self._remarks.append(f"its start is not warm: {why}; this holds for all jobs that are started like it")

    def starter(self, kind: Kind | str) -> Starter:
        """What starts the supervisor of one job."""
        return Starter(self, kind)

    def remark(self) -> str:
        remarks = [*self._remarks, *filter(None, [self._spawner.remark()])]
        self._remarks.clear()
        return "; ".join(remarks)

    def start(
        self, kind: Kind | str, name: str, words: Sequence[str], files: Sequence[int], meanwhile: Callable[[], None]
    ) -> Child:
        """Start a supervisor, warm where that is possible. Raises OSError if there is no room for it."""
        why = kind if isinstance(kind, str) else self._cold.get(kind, "")
        found = None if isinstance(kind, str) else self._processes.get(kind)
        if not why and found is not None and not isinstance(kind, str):
            if found.suits():
                try:
                    return found.start(name, words, files, meanwhile)
                except OSError as error:
                    if error.errno in shortage.PASSING and not isinstance(error, NoAnswer):
                        raise
                    why = self._lose(kind, error)
            else:
                why = "the environment of the runner has changed"
        child = self._spawner.start(name, words, files, meanwhile)
        child.about = {"start": "cold", "cold_because": why}
        return child

    def _lose(self, kind: Kind, error: OSError) -> str:
        """The process is gone: another one is tried once."""
        del self._processes[kind]
        self._lost += 1
        why = f"the process that had imported {', '.join(self._imports)} is gone ({error.strerror})"
        if self._lost >= MOST_LOST:
            self._give_up(kind, why)
        return why


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts the supervisor of one job."""

    warm: Warm
    kind: Kind | str

    def start(
        self, name: str, words: Sequence[str], files: Sequence[int] = (), meanwhile: Callable[[], None] = nothing
    ) -> Child:
        return self.warm.start(self.kind, name, words, files, meanwhile)

    def remark(self) -> str:
        return self.warm.remark()
