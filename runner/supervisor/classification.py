"""Which cause the output of a failed program shows: rules -> cause. Pure. Where it is not sure, it says so."""

from __future__ import annotations

import re
from typing import NamedTuple

from runner.core.causes import CODE, GPU_OOM, GPU_OOM_FOREIGN, UNKNOWN
from runner.supervisor import error_cause, line_kinds
from runner.supervisor.cause_rules import END, Rule, Rules
from runner.supervisor.error_cause import ERROR, PERHAPS, TRACEBACK, WORDS

LOOKED_AT = 1 << 16  # characters at the end of each stream in which a rule looks
LONGEST = 4000  # characters of a message that are looked at
MESSAGE = 20  # lines of a message in which the one that shows its cause is looked for
REPORTED = "reported"  # the kind of what the job itself wrote down
FOREIGN = 0.05  # of a GPU's memory: so much in the hands of others makes it their doing
UNACCOUNTED = 1.5  # GiB that a context and a driver may need beside what an earlier torch reports


class Output(NamedTuple):
    """What a failed program left: `streams` are the lines of stderr and stdout, `ended` is what was found in them."""

    streams: tuple[list[str], list[str]]
    ended: error_cause.Cause
    exit: int | None
    seconds: float


class Classified(NamedTuple):
    """A cause. `line` shows it, in `stream` (0: stderr, 1: stdout) at `place`, which is negative if it is not known."""

    cause: str
    sure: bool
    line: str = ""
    stream: int = 0
    place: int = -1


class _End(NamedTuple):
    """What ended a program: the message, what kind it is of, and where it stands."""

    text: str
    kind: str
    stream: int
    place: int
    followed: bool = False  # from the failure of another process, which is not in the output


def classify(rules: Rules, output: Output) -> Classified:
    """The cause of the first rule that fits; else CODE for an exception, UNKNOWN for all other ends."""
    end = _root(rules, output)
    for rule in rules.rules:
        found = _fits(rule, end, output)
        if found is not None:
            return _with_foreign(_classified(rule, end, output, *found), end.text, output)
    line = _line(output, end.stream, end.place) or end.text
    if end.kind in (TRACEBACK, PERHAPS, REPORTED) and not end.followed:
        return Classified(CODE, end.kind != PERHAPS, line, end.stream, end.place)
    return Classified(UNKNOWN, False, line, end.stream, end.place)


def _root(rules: Rules, output: Output) -> _End:
    """What ended the program; of an end that another process caused, the first exception of that one."""
    ended = output.ended
    end = _End(ended.whole[:LONGEST], ended.kind, ended.stream, ended.place)
    if not _is_consequence(rules, end.text):
        return end
    for stream, lines in enumerate(output.streams):
        for place, one in error_cause.tracebacks_in(lines):
            if not (one.of_launcher or _is_consequence(rules, one.message)):
                kind = TRACEBACK if line_kinds.process(lines[place]) else PERHAPS
                return _End(one.message[:LONGEST], kind, stream, place)
    return end._replace(followed=True)


def _is_consequence(rules: Rules, text: str) -> bool:
    return any(re.search(pattern, text) for pattern in rules.consequences)


def _fits(rule: Rule, end: _End, output: Output) -> tuple[str, int, int] | None:
    """The line that shows the rule's cause, with its stream and its place; None if nothing does."""
    if rule.exit is not None and rule.exit != output.exit:
        return None
    if rule.where == END:
        if re.search(rule.pattern, end.text) is None or (rule.unless and re.search(rule.unless, end.text)):
            return None
        return _first_line(rule, end, output)
    return _last_line(rule, output) if re.search(rule.end, end.text) else None


def _first_line(rule: Rule, end: _End, output: Output) -> tuple[str, int, int]:
    """The line of a message that has the rule's pattern; else the first one."""
    lines = output.streams[end.stream]
    for place in range(end.place, min(end.place + MESSAGE, len(lines))) if end.place >= 0 else ():
        if re.search(rule.pattern, line := _line(output, end.stream, place)):
            return line, end.stream, place
    return _line(output, end.stream, end.place) or end.text, end.stream, end.place


def _last_line(rule: Rule, output: Output) -> tuple[str, int, int] | None:
    """The last of the last lines of a stream that has the rule's pattern."""
    for stream, lines in enumerate(output.streams):
        left = LOOKED_AT
        for place in range(len(lines) - 1, -1, -1):
            left -= len(lines[place]) + 1
            if left < 0:
                break
            line = _line(output, stream, place)
            if re.search(rule.pattern, line) and not (rule.unless and re.search(rule.unless, line)):
                return line, stream, place
    return None


def _classified(rule: Rule, end: _End, output: Output, line: str, stream: int, place: int) -> Classified:
    told = end.kind in (TRACEBACK, ERROR, REPORTED) or (end.kind == WORDS and rule.exit is not None)
    soon = rule.within is None or output.seconds <= rule.within
    return Classified(rule.cause, rule.sure and told and soon, line, stream, place)


def _line(output: Output, stream: int, place: int) -> str:
    """The line at a place, without colours and a launcher's prefix."""
    return line_kinds.clean([output.streams[stream][place]])[0].strip() if place >= 0 else ""


def _with_foreign(found: Classified, text: str, output: Output) -> Classified:
    """The same, but for memory of a GPU that others had, as torch says."""
    if found.cause != GPU_OOM:
        return found
    owners = re.findall(r"Process (\d+) has ([\d.]+) ([KMG]iB)", text)
    total = _gib(re.search(r"total capac\w+ of ([\d.]+) ([KMG]iB)", text))
    # In a container torch does not know which process it is, and names itself as one.
    owners = owners if "this process has" in text else []
    if total and owners and sum(_number(*size) for _, *size in owners) > FOREIGN * total:
        own = any(re.search(rf"\bpid\W{{1,3}}{pid}\b", "\n".join(output.streams[0] + output.streams[1]), re.I)
                  for pid, *_ in owners)  # fmt: skip
        alone = not any(map(line_kinds.process, output.streams[found.stream]))
        return found._replace(cause=GPU_OOM_FOREIGN, sure=found.sure and alone and not own)
    earlier = [_gib(re.search(rf"([\d.]+) ([KMG]iB) {word}", text)) for word in ("total capacity", "free", "reserved")]
    if earlier[0] and earlier[2] and earlier[0] - earlier[1] - earlier[2] > max(UNACCOUNTED, FOREIGN * earlier[0]):
        return found._replace(cause=GPU_OOM_FOREIGN, sure=False)
    return found


def _gib(found: re.Match[str] | None) -> float:
    return _number(found[1], found[2]) if found else 0.0


def _number(number: str, unit: str) -> float:
    """A size in GiB."""
    return float(number.rstrip(".") or 0) * {"KiB": 2.0**-20, "MiB": 2.0**-10}.get(unit, 1.0)
