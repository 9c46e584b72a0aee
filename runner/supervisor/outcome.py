"""How the end of a job is recorded: exit status, last output and artefacts -> the entries of its result.

Reads the job's folder, writes nothing. Standard library only, imported by every supervisor.
"""

from __future__ import annotations

import json
import os
import signal

from runner.disk import layout
from runner.disk.reading import read_json, tail
from runner.supervisor.messages import Request

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import Any, Final

LAST_LINES = 5  # lines of stderr in an error sentence
LINE_WIDTH = 300
TRACEBACK = ("Traceback (most recent call last)", "Exception Group Traceback (most recent call last)")
CHAINED = ("During handling of the above exception", "The above exception was the direct cause")


class Ending:
    """How a job ended: one of the statuses of a result; `return_code` and `signal` exclude each other."""

    __slots__ = ("return_code", "signal", "status")

    def __init__(self, status: str, return_code: int | None = None, signal: str | None = None) -> None:
        self.status: Final = status
        self.return_code: Final = return_code
        self.signal: Final = signal


def ending(wait_status: int, stopped_because: str | None) -> Ending:
    """A wait status, and the reason if the runner stopped the job -> how the job ended.

    `completed` is an observed exit code 0 only, and never a job that got a stop request before it ended.
    """
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


def traceback(lines: list[str]) -> tuple[str, str]:
    """The last Python traceback among these lines, with what led to it: its message, and its text to the end.

    Both are empty if there is none; the message is empty too if the job printed other lines after it, since a traceback
    that was only logged need not be the cause of the end.
    """
    starts = [number for number, line in enumerate(lines) if line.lstrip(" +|").startswith(TRACEBACK)]
    if not starts:
        return "", ""
    message = starts[-1] + 1
    while message < len(lines) and _indented(lines[message]):
        message += 1
    after = message + 1
    while after < len(lines) and _indented(lines[after]):
        after += 1
    begin = starts.pop()
    while starts and any(line.startswith(CHAINED) for line in lines[starts[-1] : begin]):
        begin = starts.pop()  # "During handling of the above exception, another exception occurred"
    text = " ".join(line.strip() for line in lines[message:after] if line.strip())
    if message >= len(lines):  # of an exception group every line is indented
        text = next((line.lstrip(" |") for line in lines[begin:] if "ExceptionGroup: " in line), "")
    return (text[:LINE_WIDTH] if after >= len(lines) else ""), "\n".join(lines[begin:]).rstrip() + "\n"


def _indented(line: str) -> bool:
    return not line or line[0] in " \t"


def last_output(lines: list[str]) -> str:
    """The last lines that are not empty, as one sentence."""
    filled = [line.strip()[:LINE_WIDTH] for line in lines if line.strip()]
    return " | ".join(filled[-LAST_LINES:])


def cause(end: Ending, request: Request) -> str | None:
    """Why a job did not complete, before its own explanation is added."""
    match end.status:
        case "completed":
            return None
        case "timeout":
            return f"stopped after {request.timeout:g} s, the limit of --timeout"
        case "stalled":
            limit = f"{request.stall_timeout:g} s without output or metrics"
            return f"stopped after {limit}, the limit of --stall_timeout"
        case "interrupted":
            return "interrupted" + (f" (ended by {end.signal})" if end.signal else "")
        case "killed":
            hint = "; the kernel does this when memory runs out" if end.signal == "SIGKILL" else ""
            return f"killed by {end.signal}{hint}"
        case _:
            return f"exit code {end.return_code}"


def explain(paths: layout.JobPaths, skip: int) -> tuple[str, str]:
    """The job's own explanation and its traceback, each empty if there is none."""
    reported = read_json(paths[layout.JOB_ERROR])
    if reported.get("message"):
        words = f"{reported.get('type', 'error')}: {reported['message']}"
        return words, str(reported.get("traceback") or "")
    lines = tail(paths.stderr, skip)
    message, trace = traceback(lines)
    return message or last_output(lines) or last_output(tail(paths.stdout, skip)), trace


def final_metrics(path: str) -> dict[str, Any]:
    """The last value of every key in the last rows of metrics.jsonl."""
    metrics: dict[str, Any] = {}
    for line in tail(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # a row torn by a crash, or not JSON
            continue
        if isinstance(row, dict):
            metrics.update({key: value for key, value in row.items() if not _absurd(value)})
    return metrics


def _absurd(value: Any) -> bool:
    """A whole number that no reader of our records could hold as a number."""
    return isinstance(value, int) and abs(value) >= 2**63


def run_dir(paths: layout.JobPaths) -> str | None:
    """The other folder with outputs of the job, if it reported one."""
    reported = read_json(paths[layout.JOB_REPORT]).get("run_dir")
    return reported if isinstance(reported, str) else None
