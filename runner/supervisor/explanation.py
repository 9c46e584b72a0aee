"""Why a job did not complete, as the job itself, its output and the kernel say.

Reads the job's folder, writes nothing. Imported only for a job that did not complete. A job that failed, or was killed
by others, has one of the words of core/causes.py as its cause.
"""

from __future__ import annotations

import os
import re
import signal

from runner.core import clock, redact
from runner.core.causes import COMMAND_LINE, DIVERGED, HOST_OOM, IMPORT, UNKNOWN
from runner.core.result import Result
from runner.disk import layout
from runner.disk.log_text import placed_lines
from runner.disk.reading import read_json, text
from runner.supervisor import (
    cause_rules,
    classification,
    error_cause,
    exit_codes,
    last_seen,
    line_kinds,
    out_of_memory,
    refusal,
    signature,
)
from runner.supervisor.messages import Request
from runner.supervisor.out_of_memory import KillCounters
from runner.supervisor.outcome import Ending

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from runner.output.divergence import Divergence

KILLED_CHILD = r"signal: Killed|SIGKILL|exit ?code:? -9"  # what a job says of a process of its own that was killed
#: Signals of a crash. Any other one was sent, and what a job printed before says nothing of that.
CRASHES = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")
LAST = 50  # lines of each stream in which words about memory count
WORKED_ON = 1.0  # seconds by which the output of a training is later than a traceback that was only logged


class Explanation:
    """Why a job did not complete: a sentence, its traceback, and one word for the cause; each empty if unknown.

    `evidence` has the line that shows the cause, its file and its offset there.
    """

    __slots__ = ("cause", "evidence", "sure", "text", "traceback")

    def __init__(
        self,
        text: str,
        traceback: str = "",
        cause: str = "",
        evidence: dict[str, Any] | None = None,
        *,
        sure: bool = False,
    ) -> None:
        self.text: Final = text
        self.traceback: Final = traceback
        self.cause: Final = cause
        self.evidence: Final = evidence
        self.sure: Final = sure

    def entries(self, hide: Callable[[str], str]) -> dict[str, Any]:
        """The entries of a result, with `hide` for what may be secret; none if the end has no cause."""
        if not self.cause:
            return {}
        shown = self.evidence and {**self.evidence, "line": hide(self.evidence["line"])}
        return {"cause": self.cause, "cause_sure": self.sure, "cause_evidence": shown}


class _Logs:
    """The last lines of stderr and stdout, with their places."""

    def __init__(self, request: Request) -> None:
        paths = layout.JobPaths(request.out_dir)
        self.skip = clock.WIDTH if request.log_timestamps == "all" else 0
        placed = [placed_lines(path) for path in (paths.stderr, paths.stdout)]
        self._ends = [end for _, end in placed]
        self.raw = [lines for lines, _ in placed]
        self.stderr, self.stdout = [[text(line, self.skip) for line in lines] for lines in self.raw]

    def evidence(self, line: str, stream: int, place: int) -> dict[str, Any] | None:
        """The entry of a result for a line; None without one."""
        if not line:
            return None
        offset = self._ends[stream] - sum(len(line) + 1 for line in self.raw[stream][place:]) + 1
        known = {"file": layout.LOGS[1 - stream], "offset": offset} if place >= 0 else {"file": None, "offset": None}
        return {"line": line[: error_cause.WIDTH], **known}


def explained(end: Ending, request: Request, kills: KillCounters, result: Result) -> tuple[Result, str]:
    """The result, whose error says how the job ended, with its own explanation of that; and the job's traceback."""
    why = explain(end, request, kills, result.seconds)
    sentence, words, details = result.error, why.text, why.traceback
    if words.startswith("KeyboardInterrupt") and end.status != "failed":
        words = details = ""  # our own SIGINT is the cause
    if words and end.status in ("timeout", "stalled"):
        sentence = f"{sentence}; its last output: {words}"
    elif words and end.status not in ("interrupted", "error"):
        sentence = f"{sentence}: {words}"
    hide = _redaction(request)
    known = {} if end.status == "interrupted" else why.entries(hide)
    if end.status == "failed" and (alike := _signature(request, hide(words), hide(details))):
        known["failure_signature"] = alike
    return result.updated(error=None if sentence is None else hide(sentence), **known), hide(details)


def _signature(request: Request, words: str, details: str) -> str:
    """What the failure has in common with others that are like it."""
    folders = [os.path.relpath(path, request.cwd) for path in request.own[1:]]
    return signature.of(words, details, [*request.own, *folders, request.config or ""])


def diverged(request: Request, result: Result, divergence: Divergence) -> Result:
    """The result of a job that was stopped because its loss was not finite any more."""
    hide = _redaction(request)
    evidence = {**divergence.evidence, "line": hide(divergence.evidence["line"])}
    sentence = hide(f"{result.error}: {divergence.sentence()}")
    return result.updated(error=sentence, cause=DIVERGED, cause_sure=True, cause_evidence=evidence)


def _redaction(request: Request) -> Callable[[str], str]:
    """What hides secrets in the words of a job, which may quote its command or its environment."""
    known = redact.known_values(request.argv, request.env, request.not_secret)
    return lambda words: redact.text(words, request.not_secret, known)


def explain(end: Ending, request: Request, kills: KillCounters, seconds: float = 0.0) -> Explanation:
    """What the job itself, its output and the kernel say of its end after so many seconds."""
    paths = layout.JobPaths(request.out_dir)
    reported = read_json(paths[layout.JOB_ERROR], links=True)
    logs = _Logs(request)
    if reported.get("message"):
        words = f"{reported.get('type', 'error')}: {reported['message']}"
        found = error_cause.Cause(words, str(reported.get("traceback") or ""), "reported")
        return _explained(end, request, logs, found, words, seconds)
    if end.status in ("timeout", "stalled"):
        return Explanation(error_cause.last_output(logs.stderr, logs.stdout))
    found = error_cause.find(logs.stderr, logs.stdout, went_on=bool(logs.skip) and _worked_on(logs))
    shown = logs.evidence(found.text, found.stream, found.place)
    if end.status == "failed" and (refused := refusal.refused(found.text, request.argv, request.config, request.own)):
        usage = [*logs.stderr, *logs.stdout]
        told = refusal.sentence(refused, found.text, usage, request.argv, request.config, request.script)
        return Explanation(told, found.traceback, COMMAND_LINE, shown, sure=True)
    if end.status == "failed" and (named := exit_codes.not_started(end.return_code or 0, [*logs.stdout, *logs.stderr])):
        return Explanation(named, found.traceback, IMPORT, shown, sure=True)
    words = "" if end.command_signal and _only_names(end.command_signal, found.text) else found.text
    if "SIGKILL" in (end.signal, end.command_signal) and (memory := _memory(kills, logs, request.out_dir)):
        return Explanation(memory.text, found.traceback, memory.cause, memory.evidence, sure=memory.sure)
    if re.search(KILLED_CHILD, words) and (counter := kills.risen()):
        return Explanation(f"{words}; memory ran out ({counter})", found.traceback, HOST_OOM, shown, sure=True)
    return _explained(end, request, logs, found, words, seconds)


def _explained(
    end: Ending, request: Request, logs: _Logs, found: error_cause.Cause, words: str, seconds: float
) -> Explanation:
    """The sentence `words`, with the cause that the rules find in the output of a job that ended by itself."""
    name = end.signal or end.command_signal
    if end.status not in ("failed", "killed"):
        return Explanation(words, found.traceback)
    if name is not None and name not in CRASHES:
        return Explanation(words, found.traceback, UNKNOWN, logs.evidence(found.text, found.stream, found.place))
    output = classification.Output((logs.stderr, logs.stdout), found, end.return_code, seconds)
    it = classification.classify(cause_rules.for_job(request.causes), output)
    evidence = logs.evidence(it.line, it.stream, it.place)
    if evidence and found.kind == classification.REPORTED and it.place < 0:
        evidence["file"] = layout.JOB_ERROR
    return Explanation(words, found.traceback, it.cause, evidence, sure=it.sure)


def _only_names(name: str, words: str) -> bool:
    """True for what a shell prints of a signal: `Killed`, `Segmentation fault (core dumped)`."""
    return words.removesuffix(" (core dumped)") == signal.strsignal(signal.Signals[name])


def _memory(kills: KillCounters, logs: _Logs, folder: str) -> Explanation | None:
    """That memory ran out, with the evidence: a counter of the kernel, what was printed, or that little was left when
    the runner last looked. None without any."""
    seen = last_seen.memory(os.path.join(folder, layout.RESOURCES))
    if counter := kills.risen():
        path = re.search(r" in (\S+)", counter)
        shown = {"line": counter, "file": path[1] if path else None, "offset": None}
        return Explanation(f"memory ran out ({'; '.join(filter(None, (counter, seen.words)))})", "", HOST_OOM, shown,
                           sure=True)  # fmt: skip
    for stream, lines in enumerate((logs.stderr, logs.stdout)):
        place = out_of_memory.printed(lines, LAST)
        if place is not None:
            line = lines[place].strip()
            words = f"memory ran out: {line[: error_cause.WIDTH]}"
            cause = UNKNOWN if re.search(out_of_memory.OF_GPU, line) else HOST_OOM
            return Explanation(words, "", cause, logs.evidence(line, stream, place))
    return Explanation(f"memory probably ran out ({seen.words})", "", HOST_OOM) if seen.is_nearly_full else None


def _worked_on(logs: _Logs) -> bool:
    """True if the timestamps show that a training printed its progress after the last words of its error output."""
    words = _last(logs.stderr, lambda line: bool(line) and not error_cause.may_follow(line))
    progress = _last(logs.stdout, line_kinds.is_progress)
    if words is None or progress is None:
        return False
    later = _second(logs.raw[1][progress]) - _second(logs.raw[0][words])
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
