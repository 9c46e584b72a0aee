"""supervisor.json: which processes run a job, and on which host. Standard library only; every supervisor imports it.

The file is in the job's folder from the supervisor's start until it has recorded the job's end and cleaned up. A record
of another host, over a shared disk, cannot be checked from here: its job counts as running until the file is gone. In
another pid namespace of this host (a container) the supervisor lives as long as it holds a lock on the file.
"""

from __future__ import annotations

import fcntl
import os
import time

from runner.core.fields import Fields
from runner.disk import atomic, layout, record_file
from runner.disk.opening import open_file
from runner.disk.place import Place
from runner.disk.record_file import Unreadable
from runner.processes import process_id, process_tree

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import Any, Final

SCHEMA = 1
PROGRAMS = ("supervisor/__main__.py", "supervise.py")  # the second is that of version 0.1.0


class SupervisorRecord:
    """One attempt of a job and its processes. Not a dataclass, whose import would double a supervisor's own.

    `supervisor` and `job` are pid records (see process_id); `job` is None until it is started. `mark` is in the
    environment of every process of the job.
    """

    __slots__ = (
        "argv",
        "attempt",
        "host",
        "job",
        "keep_running",
        "mark",
        "pid_namespace",
        "released",
        "started_at",
        "supervisor",
    )

    def __init__(
        self,
        supervisor: list[str],
        job: list[str] | None,
        mark: str | None,
        attempt: int,
        argv: tuple[str, ...],
        keep_running: bool,
        started_at: str | None,
        host: str | None = None,
        pid_namespace: str | None = None,
    ) -> None:
        self.supervisor: Final = supervisor
        self.job: Final = job
        self.mark: Final = mark
        self.attempt: Final = attempt
        self.argv: Final = argv
        self.keep_running: Final = keep_running
        self.started_at: Final = started_at
        self.host: Final = host or process_id.host()
        self.pid_namespace: Final = pid_namespace
        self.released = False  # nobody holds the file, so that its supervisor is gone wherever it was

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "host": self.host,
            "pid_namespace": self.pid_namespace,
            "supervisor": self.supervisor,
            "job": self.job,
            "mark": self.mark,
            "attempt": self.attempt,
            "argv": list(self.argv),
            "keep_running": self.keep_running,
            "started_at": self.started_at,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> SupervisorRecord:
        """A record without a host is one of this host. Raises ValueError for what is not a record."""
        fields = Fields(record)
        return cls(
            supervisor=_pid_record(fields, "supervisor"),
            job=_pid_record(fields, "job") if "job" in fields else None,
            mark=fields.path("mark", None),
            attempt=fields.whole("attempt", 1, least=1),
            argv=fields.words("argv", ()),
            keep_running=fields.flag("keep_running", False),
            started_at=fields.text("started_at", None),
            host=fields.text("host", None),
            pid_namespace=fields.text("pid_namespace", None),
        )

    @property
    def on_other_host(self) -> bool:
        """True if it cannot be seen from here whether these processes live."""
        return self.host != process_id.host() or self.in_other_namespace

    @property
    def in_other_namespace(self) -> bool:
        """True if these processes are those of a container on this host, or of the host around this container."""
        here = self.released or self.host != process_id.host()
        return not here and process_id.in_other_namespace(self.supervisor, self.pid_namespace)

    @property
    def where(self) -> str:
        """Where these processes are, for messages: `gpu1`, `gpu1 (another pid namespace)`."""
        return f"{self.host} (another pid namespace)" if self.in_other_namespace else self.host

    @property
    def alive(self) -> bool:
        """True if the supervisor lives on this host. Another process that a wrong record names does not count."""
        if self.on_other_host or not process_id.alive(self.supervisor):
            return False
        words = process_id.command(self.supervisor_pid)
        return words is None or _is_supervisor(words, self.mark)

    def runs(self, folder: str | os.PathLike[str]) -> bool:
        """True if the supervisor lives and runs the job of this folder: only then it is adopted, or signalled."""
        if not self.alive:
            return False
        *_, own = process_id.command(self.supervisor_pid) or [""]
        return own.endswith(PROGRAMS) or process_tree.is_same_folder(own, folder)

    @property
    def supervisor_pid(self) -> int:
        return int(self.supervisor[0])

    @property
    def job_pid(self) -> int | None:
        return int(self.job[0]) if self.job else None


def _pid_record(fields: Fields, key: str) -> list[str]:
    """The pid record in an entry. Raises ValueError for what cannot be one: `os.kill` takes no larger number."""
    found: tuple[str, ...] = fields.words(key)
    if not process_id.is_record(found):
        raise fields.odd(key, "a pid record")
    return list(found)


def _is_supervisor(words: list[str], mark: str | None) -> bool:
    """True for the command of the supervisor of the attempt with this mark; one of version 0.1.0 does not name it."""
    at = next((index for index, word in enumerate(words) if word.endswith(PROGRAMS)), None)
    return at is not None and words[at + 1 : at + 2] in ([], [mark])


def write(folder: Place, record: SupervisorRecord) -> None:
    """Write the record into a job's folder, so that a later engine finds these processes and no others.

    Never raises: on a full disk the job runs all the same, it only cannot be adopted.
    """
    try:
        atomic.write_json(folder / layout.SUPERVISOR, record.to_json(), durable=False)
    except OSError:
        pass


def hold(folder: str | os.PathLike[str]) -> None:
    """Hold a lock on the record of this process until its end, for those who cannot see it. Never raises."""
    try:
        descriptor = open_file(layout.JobPaths(folder).supervisor)
    except OSError:
        return
    for _ in range(10):  # others have it for a moment only
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        except OSError:
            time.sleep(0.01)


def _is_held(folder: str | os.PathLike[str]) -> bool:
    """True unless it is sure that nobody holds the record."""
    try:
        descriptor = open_file(layout.JobPaths(folder).supervisor)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # also of a file system without locks
        return True
    finally:
        os.close(descriptor)
    return False


def read(folder: str | os.PathLike[str]) -> SupervisorRecord | None:
    """The record in a job's folder; None if there is none that can be read."""
    found = look(folder)
    return found if isinstance(found, SupervisorRecord) else None


def look(folder: str | os.PathLike[str]) -> SupervisorRecord | Unreadable | None:
    """The record in a job's folder, or why it cannot be read; None if there is none."""
    record = record_file.look(layout.JobPaths(folder).supervisor, SupervisorRecord.from_json)
    if isinstance(record, SupervisorRecord) and record.in_other_namespace and record.job is not None:
        record.released = not _is_held(folder)  # without a job the engine wrote it, who does not hold it
    return record


def remove(folder: Place) -> None:
    """Remove the record of a supervisor that is done, or gone.

    Never raises: what cannot be removed names a process that has ended, and does not count beside a result.
    """
    try:
        (folder / layout.SUPERVISOR).remove()
    except OSError:
        pass
