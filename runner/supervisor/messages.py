"""What an engine and a supervisor send to each other: a request, then events. Standard library only.

Each is a JSON object on a line of its own. Neither is kept on disk, so both sides are always of one version.
"""

from __future__ import annotations

import json
import os

from runner.core.result import Result
from runner.disk.place import Place

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

#: Commands after a request on the control pipe: save and leave; the same, for a search; end everything now.
STOP, PRUNE, KILL = b"stop", b"prune", b"kill"
COMMANDS = {"stop": STOP, "prune": PRUNE, "kill": KILL}


class Request:
    """One job for one supervisor. `result` has the entries of its result that are known before it starts.

    `formats` are the line formats as `module:name`; `path` is where Python finds those of plugins. `checkpoints` are
    patterns of the files that count as one; none: the usual ones. `config` is the word of `argv` for its config, `own`
    are values that only this job has, `script` is its training script, each where there is one. `root` is a folder
    above `out_dir`, below which no link is followed. `nan_patience` is the number of rows of metrics whose loss is not
    finite after which the job is stopped; 0: never. `not_secret` are the names whose values are recorded whatever they
    look like. `nonce` goes into the result, and is known to nobody else before: not to the job, which could read any
    file and any command. `causes` is a file with more rules for why a job fails; empty: there is none. `warm`: the
    supervisor is a fork of a process that has imported what the job needs, and the job is a fork of the supervisor.
    """

    __slots__ = (
        "argv", "causes", "checkpoints", "config", "cwd", "env", "formats", "grace", "keep_running", "log_timestamps",
        "max_log_mb", "metric_patterns", "nan_patience", "nonce", "not_secret", "out_dir", "own", "path", "result",
        "root", "script", "stall_timeout", "timeout", "warm",
    )  # fmt: skip

    def __init__(
        self,
        *,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        out_dir: str,
        timeout: float | None,
        stall_timeout: float | None,
        keep_running: bool,
        grace: Sequence[float],
        log_timestamps: str,
        formats: Sequence[str],
        path: Sequence[str],
        metric_patterns: Sequence[str],
        result: Result,
        checkpoints: Sequence[str] = (),
        config: str | None = None,
        own: Sequence[str] = (),
        script: str | None = None,
        root: str | None = None,
        not_secret: Sequence[str] = (),
        nonce: str = "",
        nan_patience: int = 0,
        max_log_mb: float | None = None,
        causes: str = "",
        warm: bool = False,
    ) -> None:
        self.argv: Final = list(argv)
        self.env: Final = dict(env)
        self.cwd: Final = cwd
        self.out_dir: Final = out_dir
        self.timeout: Final = timeout
        self.stall_timeout: Final = stall_timeout
        self.keep_running: Final = keep_running
        self.grace: Final = list(grace)
        self.log_timestamps: Final = log_timestamps
        self.formats: Final = list(formats)
        self.path: Final = list(path)
        self.metric_patterns: Final = list(metric_patterns)
        self.result: Final = result
        self.checkpoints: Final = list(checkpoints)
        self.config: Final = config
        self.own: Final = list(own)
        self.script: Final = script
        self.not_secret: Final = list(not_secret)
        self.nonce: Final = nonce
        self.nan_patience: Final = nan_patience
        self.max_log_mb: Final = max_log_mb
        self.causes: Final = causes
        self.warm: Final = warm
        self.root: Final = root or os.path.dirname(out_dir)

    @property
    def place(self) -> Place:
        """The job's folder."""
        below = self.out_dir.removeprefix(f"{self.root}/")
        if below == self.out_dir:  # the root is not how the path begins
            below = os.path.relpath(self.out_dir, self.root)
        return Place(self.root) / below

    def to_line(self) -> bytes:
        values = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({**values, "result": self.result.to_json()}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Request:
        values = json.loads(line)
        return cls(**{**values, "result": Result(values["result"])})


class Started:
    """The job was started."""

    __slots__ = ("pid", "time")

    def __init__(self, pid: int, time: str) -> None:
        self.pid: Final = pid
        self.time: Final = time  # ISO 8601

    def to_line(self) -> bytes:
        return _line({"event": "started", "pid": self.pid, "time": self.time})


class Refused:
    """The job could not be started, for a reason that will pass. Nothing is recorded."""

    __slots__ = ("cause", "number")

    def __init__(self, number: int, cause: str) -> None:
        self.number: Final = number  # an errno
        self.cause: Final = cause

    def to_line(self) -> bytes:
        return _line({"event": "refused", "number": self.number, "cause": self.cause})


class Ended:
    """The job has ended. `unwritten` is why its result could not be written; None if it was."""

    __slots__ = ("result", "unwritten")

    def __init__(self, result: Result, unwritten: str | None) -> None:
        self.result: Final = result
        self.unwritten: Final = unwritten

    def to_line(self) -> bytes:
        return _line({"event": "ended", "result": self.result.to_json(), "unwritten": self.unwritten})


Event = Started | Refused | Ended


def read_event(line: bytes) -> Event:
    """One line of a supervisor's output."""
    event = json.loads(line)
    if event["event"] == "refused":
        return Refused(event["number"], event["cause"])
    if event["event"] == "started":
        return Started(event["pid"], event["time"])
    return Ended(Result(event["result"]), event["unwritten"])


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, default=str).encode() + b"\n"
