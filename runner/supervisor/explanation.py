"""Why a job did not complete, as the job itself, its output and the kernel say.

Reads the job's folder, writes nothing. A cause that is sure has a word in the result: COMMAND_LINE, HOST_OOM.
"""

from __future__ import annotations

import re
import signal

from runner.core import clock
from runner.core.causes import COMMAND_LINE, HOST_OOM
from runner.disk import layout
from runner.disk.log_text import last_lines
from runner.disk.reading import read_json, text
from runner.supervisor import error_cause, exit_codes, line_kinds, out_of_memory, refusal
from runner.supervisor.messages import Request
from runner.supervisor.out_of_memory import KillCounters
from runner.supervisor.outcome import Ending

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

KILLED_CHILD = r"signal: Killed|SIGKILL|exit ?code:? -9"  # what a job says of a process of its own that was killed
LAST = 50  # lines of each stream in which words about memory count
WORKED_ON = 1.0  # seconds by which the output of a training is later than a traceback that was only logged


class Explanation:
    """Why a job did not complete: a sentence, its traceback, and one word for the cause; each empty if unknown."""

    __slots__ = ("cause", "text", "traceback")

    def __init__(self, text: str, traceback: str = "", cause: str = "") -> None:
        self.text: Final = text
        self.traceback: Final = traceback
        self.cause: Final = cause


def explain(end: Ending, request: Request, kills: KillCounters) -> Explanation:
    """What the job itself, its output and the kernel say of its end."""
    paths = layout.JobPaths(request.out_dir)
    reported = read_json(paths[layout.JOB_ERROR], links=True)
    if reported.get("message"):
        words = f"{reported.get('type', 'error')}: {reported['message']}"
        return Explanation(words, str(reported.get("traceback") or ""))
    logs = [last_lines(path) for path in (paths.stderr, paths.stdout)]
    skip = clock.WIDTH if request.log_timestamps == "all" else 0
    stderr, stdout = [[text(line, skip) for line in lines] for lines in logs]
    if end.status in ("timeout", "stalled"):
        return Explanation(error_cause.last_output(stderr, stdout))
    found = error_cause.find(stderr, stdout, went_on=bool(skip) and _worked_on(logs[0], stderr, logs[1], stdout))
    if end.status == "failed" and (refused := refusal.refused(found.text, request.argv, request.config, request.own)):
        usage = [*stderr, *stdout]
        told = refusal.sentence(refused, found.text, usage, request.argv, request.config, request.script)
        return Explanation(told, found.traceback, COMMAND_LINE)
    if end.status == "failed" and (named := exit_codes.not_started(end.return_code or 0, [*stdout, *stderr])):
        return Explanation(named, found.traceback)
    words = "" if end.command_signal and _only_names(end.command_signal, found.text) else found.text
    if "SIGKILL" in (end.signal, end.command_signal) and (memory := _memory(kills, [*stdout[-LAST:], *stderr[-LAST:]])):
        return Explanation(memory.text, found.traceback, memory.cause)
    if re.search(KILLED_CHILD, words) and (counter := kills.risen()):
        return Explanation(f"{words}; memory ran out ({counter})", found.traceback, HOST_OOM)
    return Explanation(words, found.traceback)


def _only_names(name: str, words: str) -> bool:
    """True for what a shell prints of a signal: `Killed`, `Segmentation fault (core dumped)`."""
    return words.removesuffix(" (core dumped)") == signal.strsignal(signal.Signals[name])


def _memory(kills: KillCounters, lines: list[str]) -> Explanation | None:
    """That memory ran out, with the evidence: a counter of the kernel, or what was printed. None without any."""
    if counter := kills.risen():
        return Explanation(f"memory ran out ({counter})", cause=HOST_OOM)
    if printed := out_of_memory.printed(lines):
        return Explanation(f"memory ran out: {printed[: error_cause.WIDTH]}")
    return None


def _worked_on(stderr_log: list[bytes], stderr: list[str], stdout_log: list[bytes], stdout: list[str]) -> bool:
    """True if the timestamps show that a training printed its progress after the last words of its error output."""
    words = _last(stderr, lambda line: bool(line) and not error_cause.may_follow(line))
    progress = _last(stdout, line_kinds.is_progress)
    if words is None or progress is None:
        return False
    later = _second(stdout_log[progress]) - _second(stderr_log[words])
    return later % 86400 > WORKED_ON if later % 86400 < 43200 else False


def _last(lines: list[str], true: Callable[[str], bool]) -> int | None:
    places = range(len(lines) - 1, max(len(lines) - error_cause.LOOKED_AT, 0) - 1, -1)
    return next((place for place in places if true(lines[place])), None)


def _second(line: bytes) -> float:
    """The second of the day in a line's timestamp; 0 for a line without one."""
    try:
        return int(line[11:13]) * 3600 + int(line[14:16]) * 60 + float(line[17:23])
    except ValueError:
        return 0.0
