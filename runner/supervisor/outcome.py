"""How the end of a job is recorded: exit status, last output and artefacts -> the entries of its result.

Reads the job's folder, writes nothing. Standard library only, imported by every supervisor.
"""

from __future__ import annotations

import json
import os
import signal

from runner.core.causes import DIVERGED
from runner.core.fields import LARGEST_WHOLE, is_too_deep
from runner.disk import layout
from runner.disk.reading import read_json, tail
from runner.output.rows import NONFINITE
from runner.supervisor import exit_codes
from runner.supervisor.messages import Request

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import Any, Final


DEEPEST = 64  # levels of a value in metrics.jsonl; a result, and a summary of results, have some more


class Ending:
    """How a job ended: one of the statuses of a result; `return_code` and `signal` exclude each other.

    `command_signal` is the signal that killed the command of a shell or container, as its exit code says. `diverged`:
    it was stopped because its loss was not finite any more.
    """

    __slots__ = ("command_signal", "diverged", "return_code", "signal", "status")

    def __init__(self, status: str, return_code: int | None = None, signal: str | None = None) -> None:
        self.diverged: Final = status == DIVERGED
        self.status: Final = "failed" if self.diverged else status
        self.return_code: Final = return_code
        self.signal: Final = signal
        of_itself = return_code if status == "failed" else None  # and not of our stop request
        self.command_signal: Final = exit_codes.signal_behind(of_itself or 0)


def ending(wait_status: int | None, stopped_because: str | None) -> Ending:
    """A wait status, and the reason if the runner stopped the job -> how the job ended. None: it is not known.

    `completed` is an observed exit code 0 only, and never a job that got a stop request before it ended.
    """
    if wait_status is None:
        return Ending(stopped_because or "error")
    code = os.waitstatus_to_exitcode(wait_status)
    name = signal_name(-code) if code < 0 else None
    status = stopped_because or ("killed" if name else "failed" if code else "completed")
    return Ending(status, None if name else code, name)


def signal_name(number: int) -> str:
    """9 -> SIGKILL; real-time signals by number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def cause(end: Ending, request: Request, stuck: str | None = None) -> str | None:
    """Why a job did not complete, before its own explanation is added. `stuck`: what is left of it, and why."""
    return "; ".join(filter(None, (_reason(end, request), stuck))) or None


def _reason(end: Ending, request: Request) -> str | None:
    if end.diverged:
        return "stopped by --on_nan stop"
    match end.status:
        case "completed" | "error" | "pruned":
            return None
        case "timeout":
            return f"stopped after {request.timeout:g} s, the limit of --timeout"
        case "stalled":
            limit = f"{request.stall_timeout:g} s without output or metrics"
            return f"stopped after {limit}, the limit of --stall_timeout"
        case "interrupted":
            return "interrupted" + (f" (ended by {end.signal})" if end.signal else "")
        case "killed":
            sender = " (not sent by this runner)" if end.signal in ("SIGKILL", "SIGTERM") else ""
            return f"killed by {end.signal}{sender}"
        case _:
            meaning = f": its command was killed by {end.command_signal}" if end.command_signal else ""
            return f"exit code {end.return_code}{meaning}"


def final_metrics(path: str) -> dict[str, Any]:
    """The last value of every key in the last rows of metrics.jsonl."""
    metrics: dict[str, Any] = {}
    for line in tail(path, links=True):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # a row torn by a crash, or not JSON
            continue
        if isinstance(row, dict):
            metrics.update({key: value for key, value in row.items() if not (_absurd(value) or _is_remark(key, value))})
    return metrics


def _is_remark(key: str, value: Any) -> bool:
    """Whether an entry of a row says which numbers of it were not finite: that is a remark on it, and no metric."""
    return key == NONFINITE and isinstance(value, dict)


def _absurd(value: Any) -> bool:
    """What no reader of our records could hold: a number too large for a float, lists within lists without end."""
    if isinstance(value, (dict, list)):
        return is_too_deep(value, DEEPEST)
    return isinstance(value, int) and abs(value) >= LARGEST_WHOLE


def run_dir(paths: layout.JobPaths) -> str | None:
    """The other folder with outputs of the job, if it reported one."""
    reported = read_json(paths[layout.JOB_REPORT], links=True).get("run_dir")
    return reported if isinstance(reported, str) else None
