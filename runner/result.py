"""What the end of a job is recorded as: exit status, last words and artefacts -> the entries of its result.

Reads the job's folder, writes nothing. Standard library only, imported by every supervisor.
"""

from __future__ import annotations

import json
import os
import signal

from runner import layout

TYPE_CHECKING = False  # what typing.TYPE_CHECKING says, without the cost of its import
if TYPE_CHECKING:
    from typing import Any

TAIL = 1 << 18  # bytes looked at from the end of a log
LAST_LINES = 5  # lines of stderr in an error sentence
LINE_WIDTH = 300


def ending(wait_status: int, stopped_because: str | None) -> dict[str, Any]:
    """A wait status, and the reason if the runner stopped the job -> status, return_code, signal.

    `completed` is said of an observed exit code 0 only, and never of a job that was told to stop before it ended.
    """
    code = os.waitstatus_to_exitcode(wait_status)
    name = signal_name(-code) if code < 0 else None
    status = stopped_because or ("killed" if name else "failed" if code else "completed")
    return {"status": status, "return_code": None if name else code, "signal": name}


def signal_name(number: int) -> str:
    """9 -> SIGKILL; real-time signals by number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def tail(path: str, skip: int = 0, size: int = TAIL) -> list[str]:
    """The last whole lines of a log, each without its first `skip` characters."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - size, 0))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    if end > size:
        del lines[0]  # its beginning lies before what was read
    return [line[skip:].decode(errors="replace").rpartition("\r")[2].rstrip() for line in lines]


def traceback(lines: list[str]) -> str:
    """The last Python traceback among these lines, or an empty text."""
    starts = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if not starts:
        return ""
    body = starts[-1] + 1
    while body < len(lines) and (not lines[body] or lines[body].startswith(" ")):
        body += 1
    return "\n".join(lines[starts[-1] : body + 1]) + "\n"


def last_words(lines: list[str]) -> str:
    """The last lines that say something, as one sentence."""
    said = [line.strip()[:LINE_WIDTH] for line in lines if line.strip()]
    return " | ".join(said[-LAST_LINES:])


def cause(end: dict[str, Any], limit: float | None) -> str | None:
    """Why a job did not complete, before its own words are added."""
    match end["status"]:
        case "completed":
            return None
        case "timeout":
            return f"stopped after {limit:g} s, the limit of --timeout"
        case "interrupted":
            return "interrupted" + (f" (ended by {end['signal']})" if end["signal"] else "")
        case "killed":
            hint = "; the kernel does this when memory runs out" if end["signal"] == "SIGKILL" else ""
            return f"killed by {end['signal']}{hint}"
        case _:
            return f"exit code {end['return_code']}"


def explain(paths: layout.JobPaths, skip: int) -> tuple[str, str]:
    """The job's own last words and its traceback, each empty if there is none."""
    reported = _read_json(paths[layout.JOB_ERROR])
    if reported.get("message"):
        words = f"{reported.get('type', 'error')}: {reported['message']}"
        return words, str(reported.get("traceback") or "")
    lines = tail(paths.stderr, skip)
    trace = traceback(lines)
    if trace:
        return trace.rstrip().rpartition("\n")[2][:LINE_WIDTH], trace
    return last_words(lines) or last_words(tail(paths.stdout, skip)), ""


def final_metrics(path: str) -> dict[str, Any]:
    """The last value of every key in the last rows of metrics.jsonl."""
    metrics: dict[str, Any] = {}
    for line in tail(path):
        try:
            row = json.loads(line)
        except ValueError:  # a row torn by a crash, or no JSON at all
            continue
        if isinstance(row, dict):
            metrics.update(row)
    return metrics


def final_checkpoint(folder: str) -> str | None:
    """The newest *.pt file in the job's folder."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.stat().st_mtime_ns, entry.name) for entry in entries if entry.name.endswith(".pt")]
    except OSError:
        return None
    return os.path.join(folder, max(found)[1]) if found else None


def _read_json(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
